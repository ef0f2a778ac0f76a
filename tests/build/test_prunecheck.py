"""Prune rules that break a layer are found, by real assemblies and smoke tests of a small one."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from layerlock.errors import AbiViolation, LayerCheckFailed, SmokeFailed, UsageError
from layerlock.workflows.building import build_layer
from layerlock.workflows.locking import lock_layer
from layerlock.workflows.prunecheck import PruneChecked, check_pruning

from .conftest import ROOT, Bench

pytestmark = pytest.mark.sandbox

PACKAGE = """\
[package]
name = "tiny-modules"
version = "1.0"
license = "Apache-2.0"

[build]
environment = "bullseye"
script = '''
site=/out/python/lib/python3.9/site-packages
mkdir -p "$site"
for name in always left right spare unused; do echo "name = '$name'" > "$site/tiny_$name.py"; done
echo 'import sys' > "$site/tiny.pth"
'''
"""
LAYER = """\
[layer]
name = "tiny-pruned"
runtime = "python3.9-test"
environment = "bullseye"
summary = "Modules, of which one is needed, and one of two others"
packages = ["tiny-modules"]
tools = ["guest-tools"]

[[smoke]]
name = "modules"
file = "smoke/modules.py"

[[smoke]]
name = "spare"
file = "smoke/spare.py"
"""
SMOKE = """\
import tiny_always
try:
    import tiny_left
except ImportError:
    import tiny_right
"""
PTH = ("pth", ["**/*.pth"])


@pytest.fixture
def pruned(bench: Bench) -> Bench:
    """Give the small repository with a layer that has no rules yet."""
    (bench.folder / "recipes/packages/tiny-modules.toml").write_text(PACKAGE)
    (bench.folder / "recipes/smoke/modules.py").write_text(SMOKE)
    (bench.folder / "recipes/smoke/spare.py").write_text("print('nothing is needed')\n")
    (bench.folder / "recipes/layers/tiny-pruned.toml").write_text(LAYER)
    return bench


def prune(bench: Bench, *rules: tuple[str, list[str]], layer: str = "tiny-pruned") -> None:
    """Write prune rules, and lock the layer."""
    for name, patterns in rules:
        bench.append(
            f"recipes/layers/{layer}.toml",
            f'\n[[prune]]\nname = "{name}"\npatterns = {json.dumps(patterns)}\nreason = "A test."\n',
        )
    lock_layer(bench.driver(), layer)


def found(checked: PruneChecked) -> list[tuple[tuple[str, ...], tuple[str, ...]]]:
    """Give the names and patterns of the guilty rules."""
    return [(checked.names(group.rules), group.patterns) for group in checked.guilty]


def command(bench: Bench, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command over the small repository."""
    return subprocess.run(
        [
            sys.executable,
            "-m",
            "layerlock",
            "--repo",
            str(bench.folder),
            "--store",
            str(bench.store),
            *arguments,
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def test_one_rule_is_guilty_and_so_is_one_of_its_patterns(pruned: Bench, tmp_path: Path) -> None:
    """A failed build points to the search; the search names rule and pattern, and the command ends with its code."""
    prune(
        pruned,
        PTH,
        ("unused", ["**/tiny_unused.py"]),
        ("ballast", ["**/tiny_spare.py", "**/tiny_always.py", "**/tiny_left.py"]),
    )
    with pytest.raises(SmokeFailed) as caught:
        build_layer(pruned.driver(), "tiny-pruned", tmp_path)
    assert "layerlock prune-check tiny-pruned" in caught.value.hint
    checked = check_pruning(pruned.driver(), "tiny-pruned")
    assert found(checked) == [(("ballast",), ("**/tiny_always.py",))]
    assert "tiny_always" in checked.guilty[0].failure.hint
    # Without the rule that leaves out the `.pth` file there is no tree to try anything on.
    assert checked.names(checked.undoubted) == ("pth",)

    done = command(pruned, "prune-check", "tiny-pruned")
    assert done.returncode == 34
    assert "`ballast` breaks it" in done.stdout
    assert "pattern **/tiny_always.py" in done.stdout
    line = (
        pruned.folder.joinpath("recipes/layers/tiny-pruned.toml")
        .read_text()
        .split("\n")
        .index('name = "ballast"')
    )
    location = done.stderr.split("  at recipes/layers/tiny-pruned.toml:")[1]
    assert abs(int(location.split(" ")[0]) - (line + 1)) <= 1
    said = json.loads(command(pruned, "prune-check", "tiny-pruned", "--json").stdout.splitlines()[-2])
    assert said["guilty"][0]["rules"] == ["ballast"]
    # The other test needs none of it.
    assert command(pruned, "prune-check", "tiny-pruned", "--test", "spare").returncode == 0


def test_two_rules_are_guilty_together_and_a_third_by_itself(pruned: Bench) -> None:
    """Either of two modules will do, so that neither rule breaks anything without the other."""
    prune(
        pruned,
        ("left", ["**/tiny_left.py"]),
        PTH,
        ("unused", ["**/tiny_unused.py"]),
        ("right", ["**/tiny_right.py", "**/tiny_spare.py"]),
    )
    checked = check_pruning(pruned.driver(), "tiny-pruned")
    assert found(checked) == [(("left", "right"), ("**/tiny_left.py", "**/tiny_right.py"))]

    prune(pruned, ("always", ["**/tiny_always.py"]))
    both = {names for names, _ in found(check_pruning(pruned.driver(), "tiny-pruned"))}
    assert both == {("always",), ("left", "right")}


def test_rules_that_break_nothing(pruned: Bench) -> None:
    prune(pruned, PTH, ("unused", ["**/tiny_unused.py"]))
    checked = check_pruning(pruned.driver(), "tiny-pruned")
    assert (checked.failure, checked.guilty, checked.variants) == (None, (), 1)
    done = command(pruned, "prune-check", "tiny-pruned")
    assert (done.returncode, done.stdout) == (0, "tiny-pruned works with all of its 2 prune rules\n")


def test_a_layer_that_fails_without_rules_too(pruned: Bench) -> None:
    """The rules are not to blame, and the failure of the tests is what is told."""
    pruned.append("recipes/smoke/modules.py", "raise SystemExit('out of order')\n")
    prune(pruned, PTH, ("unused", ["**/tiny_unused.py"]))
    checked = check_pruning(pruned.driver(), "tiny-pruned")
    assert checked.guilty == ()
    assert isinstance(checked.failure, SmokeFailed)
    assert checked.names(checked.undoubted) == ("pth",)
    done = command(pruned, "prune-check", "tiny-pruned")
    assert done.returncode == SmokeFailed.exit_code
    assert "pruning is not to blame" in done.stderr
    assert "out of order" in done.stderr


def test_what_assembly_refuses_whatever_the_rules_is_said(pruned: Bench) -> None:
    prune(pruned, ("unused", ["**/tiny_unused.py"]))
    checked = check_pruning(pruned.driver(), "tiny-pruned")
    assert isinstance(checked.failure, LayerCheckFailed)
    assert checked.guilty == ()


def test_a_library_that_others_need(bench: Bench) -> None:
    """What the ABI check refuses is a layer that is broken, too."""
    prune(bench, ("libraries", ["lib/libtiny.so*"]), layer="tiny")
    checked = check_pruning(bench.driver(), "tiny")
    assert isinstance(checked.failure, AbiViolation)
    assert found(checked) == [(("libraries",), ("lib/libtiny.so*",))]


def test_tests_that_there_are_not(pruned: Bench) -> None:
    prune(pruned, PTH)
    with pytest.raises(UsageError, match="no smoke test `modulse`") as caught:
        check_pruning(pruned.driver(), "tiny-pruned", ("modulse",))
    assert "modules, spare" in caught.value.hint
    pruned.edit("recipes/layers/tiny-pruned.toml", lambda text: text.replace("[[smoke]]", "[[unused]]"))
    pruned.edit("recipes/layers/tiny-pruned.toml", _without_smoke)
    with pytest.raises(UsageError, match="has no smoke tests"):
        check_pruning(pruned.driver(), "tiny-pruned")


def _without_smoke(text: str) -> str:
    head, _, tail = text.partition("[[unused]]")
    return head + tail[tail.index("[[prune]]") :]


def test_a_test_that_took_too_long_accuses_no_rule(pruned: Bench) -> None:
    """A machine may have been busy: without `spare` the test goes on for ever, and that is not how the layer fails."""
    (pruned.folder / "recipes/smoke/modules.py").write_text(
        "import tiny_always\ntry:\n    import tiny_spare\nexcept ImportError:\n    while True:\n        pass\n"
    )
    pruned.edit(
        "recipes/layers/tiny-pruned.toml",
        lambda text: text.replace('file = "smoke/modules.py"', 'file = "smoke/modules.py"\ntime = "3 s"'),
    )
    prune(pruned, PTH, ("spare", ["**/tiny_spare.py"]), ("always", ["**/tiny_always.py"]))
    checked = check_pruning(pruned.driver(), "tiny-pruned", ("modules",))
    assert found(checked) == [(("always",), ("**/tiny_always.py",))]
