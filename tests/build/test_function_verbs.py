"""The other verbs over functions, for real: what is in one, the same once more, archives, several layers."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest

from layerlock.errors import LayersOverlap
from layerlock.io.atomic import remove_tree
from layerlock.reproduce.archive import Archive
from layerlock.workflows.archiving import archive_layer
from layerlock.workflows.building import build_layer, record_layer
from layerlock.workflows.checking import Asked, check
from layerlock.workflows.invoking import invoke
from layerlock.workflows.locking import lock_layer

from .conftest import Bench
from .history import layerlock

pytestmark = pytest.mark.sandbox

EXTRA = """\
[layer]
name = "extra"
summary = "A second layer"
runtime = "python3.9-test"
environment = "bullseye"
packages = ["tiny-extra"]
tools = ["guest-tools"]

[[smoke]]
kind = "python"
name = "imports"
file = "smoke/extra.py"
"""
TINY_EXTRA = """\
[package]
name = "tiny-extra"
version = "1.0"
license = "Apache-2.0"

[build]
environment = "bullseye"
script = '''
mkdir /out/python
echo 'words = "from the second layer"' > /out/python/extra.py
'''
"""


@pytest.fixture
def hello(bench: Bench, tmp_path: Path) -> Bench:
    """Lock and record the function."""
    lock_layer(bench.driver(), "hello")
    record_layer(bench.driver(), "hello", tmp_path / "dist")
    return bench


def said(bench: Bench, *arguments: str) -> CompletedProcess[str]:
    """Run the command in the repository, which has to succeed."""
    done = layerlock(bench.folder, *arguments, home=bench.folder, store=bench.store)
    assert done.returncode == 0, done.stderr
    return done


def told(bench: Bench, *arguments: str) -> dict[str, Any]:
    """Run the command for its result."""
    rows = map(json.loads, said(bench, "--json", *arguments).stdout.splitlines())
    found: dict[str, Any] = next(row for row in rows if row["event"] == "Result")
    return found


def test_questions_about_what_is_in_it(hello: Bench, tmp_path: Path) -> None:
    """Its modules stand at the top of the zip, and below `python/` in their package."""
    (row,) = told(hello, "owner", "hello", "/var/task/app.py")["files"]
    assert (row["package"], row["original"], row["how"]) == ("tiny-handler", "python/app.py", "as built")
    assert Path(row["derivation"]["path"], row["original"]).is_file()
    assert told(hello, "owner", str(tmp_path / "dist" / "hello.zip"), "app.py")["files"] == [row]
    sizes = told(hello, "size", "hello")
    assert [(weight["name"], weight["files"]) for weight in sizes["rows"]] == [("tiny-handler", 1)]
    why = said(hello, "why", "hello", "app.py").stdout
    assert "app.py comes from the package tiny-handler" in why
    assert (
        "the function hello names the package tiny-handler (packages, recipes/functions/hello.toml:7)" in why
    )
    assert "the function hello names the layer tiny (layers," in said(hello, "why", "hello", "tiny").stdout
    audit = said(hello, "audit", "hello", "--only", "contents").stdout
    assert "belongs to no package" not in audit


def test_a_function_is_rebuilt_and_archived(hello: Bench, tmp_path: Path) -> None:
    """By `check` under a variation, and from an archive alone, which has the layer's sources as well."""
    asked = Asked(variations=("directory-order",), derivations=("function-hello-tree", "function-hello-zip"))
    found = check(hello.driver(), "hello", asked, os.environ)
    assert found.matched
    assert [each.verdict for each in found.derivations] == ["match", "match"]
    place = tmp_path / "archive"
    archived = archive_layer(hello.driver(), "hello", Archive(place), debian_sources=False)
    assert archived.problems == ()
    empty, home, own = tmp_path / "empty", tmp_path / "home", tmp_path / "own"
    empty.mkdir()
    home.mkdir()
    # A store that has the layer's parts, which test_archive.py builds from nothing, and nothing of the function.
    shutil.copytree(hello.store, own, symlinks=True, copy_function=os.link)
    for tree in (own / "trees").glob("*-function-hello-*"):
        remove_tree(tree)
    done = layerlock(
        empty, "--json", "reproduce", "hello", "--from", str(place), "--store", str(own), home=home
    )
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout.splitlines()[-1])
    assert result["identical"]
    assert set(result["compared"]) - set(result["reused"]) == {"function-hello-tree", "function-hello-zip"}
    assert "layer-tiny-tree" in result["reused"]


def test_a_function_over_two_layers(bench: Bench, tmp_path: Path) -> None:
    """Both stand below /opt together, where it is tried and where it is invoked."""
    recipes = bench.folder / "recipes"
    (recipes / "layers" / "extra.toml").write_text(EXTRA)
    (recipes / "packages" / "tiny-extra.toml").write_text(TINY_EXTRA)
    (recipes / "smoke" / "extra.py").write_text("import extra\n")
    bench.edit(
        "recipes/functions/hello.toml",
        lambda text: text.replace('["tiny"]', '["tiny", "extra"]').replace(
            'name = "hello" }', 'name = "hello", words = "from the second layer" }'
        ),
    )
    bench.edit(
        "recipes/packages/tiny-handler.toml",
        lambda text: text.replace("import tiny\n", "import extra\nimport tiny\n").replace(
            '"name": context.function_name', '"name": context.function_name, "words": extra.words'
        ),
    )
    lock_layer(bench.driver(), "hello")
    built = build_layer(bench.driver(), "hello", tmp_path)
    assert built.notes[0].startswith("with its layers ")
    came = invoke(bench.driver(), "hello", ({},), 1, 60)
    assert came.answers[0]["words"] == "from the second layer"


def test_two_layers_that_have_the_same_file(bench: Bench, tmp_path: Path) -> None:
    """What Lambda would silently lay over each other is an error that names both."""
    recipes = bench.folder / "recipes"
    (recipes / "layers" / "extra.toml").write_text(EXTRA.partition("[[smoke]]")[0])
    package = TINY_EXTRA.replace("mkdir /out/python", "mkdir -p /out/python/lib/python3.9/site-packages/tiny")
    package = package.replace(
        "/out/python/extra.py", "/out/python/lib/python3.9/site-packages/tiny/__init__.py"
    )
    (recipes / "packages" / "tiny-extra.toml").write_text(package)
    bench.edit("recipes/functions/hello.toml", lambda text: text.replace('["tiny"]', '["tiny", "extra"]'))
    lock_layer(bench.driver(), "hello")
    with pytest.raises(LayersOverlap, match="the layers tiny and extra both hold "):
        build_layer(bench.driver(), "hello", tmp_path)
