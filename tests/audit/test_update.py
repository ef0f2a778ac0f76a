"""Moving pins: the recipe's values and the locks change, and nothing else; or nothing at all."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from layerlock.errors import HashMismatch, InvalidRecipe, LayerlockError, UsageError
from layerlock.events import silent
from layerlock.io.edits import edited
from layerlock.io.lockfile import read_lock
from layerlock.sources.fetch import Reach
from layerlock.workflows.supplier import StoreSupplier
from layerlock.workflows.updating import Updated, update
from tests.audit.conftest import Shelf, sha256
from tests.audit.test_online import FILES, archive, reach_to, with_index
from tests.sources.debian import Key, publish
from tests.sources.repositories import git_daemon, new_repository
from tests.sources.web import Web, served_web


@pytest.fixture
def web(tmp_path: Path) -> Iterator[Web]:
    """A web server on loopback."""
    with served_web(tmp_path / "web") as web:
        yield web


def moved(shelf: Shelf, web: Web, name: str, *, to: str = "", keyring: bytes | None = None) -> Updated:
    """Update, with the web server as index and as Debian mirror."""
    net = reach_to(f"{web.url}/simple", apt=(archive(f"{web.url}/debian"),), keyring=keyring)

    def reach() -> Reach:
        return replace(net(), repository=shelf.root)

    driver = shelf.driver()
    supplied = replace(driver, supplier=StoreSupplier(driver.store, reach, silent))
    return update(supplied, name, reach, to=to)


def files(shelf: Shelf) -> dict[str, bytes]:
    """Give every file of the repository."""
    return {
        p.relative_to(shelf.root).as_posix(): p.read_bytes() for p in shelf.root.rglob("*") if p.is_file()
    }


def test_a_release_moves_in_the_recipe_and_the_lock_and_nowhere_else(shelf: Shelf, web: Web) -> None:
    with_index(shelf, web)
    shelf.edit("recipes/packages/hello.toml", '"-Os"', '"-Os -DVERSION=1.0" # says 1.0')
    cpe = "cpe:2.3:a:hello:hello:1.0:*:*:*:*:*:*:*"
    shelf.edit("recipes/packages/hello.toml", "[[sources]]", f'cpe = "{cpe}"\n[[sources]]')
    shelf.lock()
    before = files(shelf)
    done = moved(shelf, web, "hello")
    (move,) = done.moved
    assert (move.key, move.before, move.after) == ("hello/hello", "1.0", "1.1")
    assert (move.size_before, move.size_after) == (1, len(FILES["hello-1.1.tar.gz"]))
    after = files(shelf)
    changed = {name for name in after if before.get(name) != after[name]}
    assert changed == {"recipes/packages/hello.toml", "lockfiles/demo.lock"} == set(done.files)
    was = before["recipes/packages/hello.toml"].decode().split("\n")
    now = after["recipes/packages/hello.toml"].decode().split("\n")
    assert [line for line in now if line not in was] == [
        'version = "1.1"',
        'purl = "pkg:generic/hello@1.1"',
        'cpe = "cpe:2.3:a:hello:hello:1.1:*:*:*:*:*:*:*"',
        f'urls = ["{web.url}/files/hello-1.1.tar.gz", "pypi:hello/hello-1.1.tar.gz"]',
        f'sha256 = "{sha256(FILES["hello-1.1.tar.gz"])}"',
    ]
    assert [line for _, line in done.left] == ['CFLAGS = "-Os -DVERSION=1.0" # says 1.0']
    assert {"hello", "layer-demo-tree"} <= set(done.relocked[0].replanned)
    assert shelf.found("lock-fits") == []
    assert moved(shelf, web, "hello").moved == ()


def test_allows_and_to_say_how_far_it_moves(shelf: Shelf, web: Web) -> None:
    with_index(shelf, web, allows="~=1.0.0")
    assert moved(shelf, web, "hello").moved[0].after == "1.0.1"
    assert moved(shelf, web, "hello/hello", to="1.1").moved[0].after == "1.1"
    with pytest.raises(UsageError, match="no later release 9"):
        moved(shelf, web, "hello", to="9")
    with pytest.raises(UsageError, match="no source `other`"):
        moved(shelf, web, "hello/other")
    with pytest.raises(UsageError, match="no package and no environment"):
        moved(shelf, web, "nothing")


def test_every_lock_that_uses_it_moves_together(shelf: Shelf, web: Web) -> None:
    small = '[layer]\nname = "demo-small"\nbase = "demo"\nsummary = "x"\n'
    shelf.write("recipes/layers/demo-small.toml", small)
    with_index(shelf, web)
    shelf.lock("demo-small")
    done = moved(shelf, web, "hello")
    assert [relocked.layer for relocked in done.relocked] == ["demo", "demo-small"]
    pins = {
        read_lock(shelf.root / f"lockfiles/{name}.lock", name).source("hello/hello")
        for name in ("demo", "demo-small")
    }
    assert len(pins) == 1


def test_nothing_changes_where_the_bytes_are_not_what_the_index_states(shelf: Shelf, web: Web) -> None:
    with_index(shelf, web)
    web.put("files/hello-1.1.tar.gz", b"something else")
    before = files(shelf)
    with pytest.raises(HashMismatch):
        moved(shelf, web, "hello")
    assert files(shelf) == before


def test_a_branch_is_followed_to_its_tip(shelf: Shelf, web: Web, tmp_path: Path) -> None:
    (tmp_path / "git").mkdir()
    with git_daemon(tmp_path / "git") as url:
        repository = new_repository(tmp_path / "git", "hello")
        first = repository.commit({"a": "1"})
        text = f'[[sources]]\nkind = "git"\nname = "extra"\nurls = ["{url}/hello"]\ncommit = "{first}"\nbranch = "main"'
        shelf.edit("recipes/packages/hello.toml", "[[patches]]", text + "\n\n[[patches]]")
        shelf.lock()
        second = repository.commit({"a": "2"})
        done = moved(shelf, web, "hello/extra")
        assert [(move.before, move.after) for move in done.moved] == [(first, second)]
        assert f'commit = "{second}"' in (shelf.root / "recipes/packages/hello.toml").read_text()
        assert moved(shelf, web, "hello/extra").moved == ()
        assert moved(shelf, web, "hello").unlisted == ("hello/hello",)


STANZA = """\
Package: bash
Version: 5.1-3
Architecture: amd64
Filename: pool/main/b/bash/bash_5.1-3_amd64.deb
Size: 7
SHA256: {}
""".format("3" * 64)


def test_an_environment_moves_to_what_its_suite_has(locked: Shelf, web: Web) -> None:
    key = Key()
    publish(web, key, stanzas=STANZA)
    before = files(locked)
    # The folder of the repository that is a source is hashed, nothing else is fetched: pins that fit are kept.
    try:
        done = moved(locked, web, "root", keyring=key.keyring)
    except LayerlockError as error:
        pytest.fail(f"{error} {error.hint}")
    assert [(m.key, m.before, m.after, m.size_after) for m in done.moved] == [
        ("root/bash", "5.1-2", "5.1-3", 7)
    ]
    after = files(locked)
    changed = {name for name in after if before.get(name) != after[name]}
    assert changed == {"recipes/environments/root.debs.toml", "lockfiles/demo.lock"}


def test_a_recipe_whose_sources_stand_elsewhere_is_not_guessed_at(shelf: Shelf, web: Web) -> None:
    with_index(shelf, web)
    other = '[package]\nname = "hello-two"\nbase = "hello"\n'
    shelf.write("recipes/packages/hello-two.toml", other)
    with pytest.raises(InvalidRecipe, match="no `sources"):
        moved(shelf, web, "hello-two")
    assert (shelf.root / "recipes/packages/hello-two.toml").read_text() == other


def test_edits_keep_comments_and_layout() -> None:
    text = '# top\n[a]\nb = "1" # one\nc = [\n  "x", # first\n  "y",\n]\n'
    assert edited(text, {("a", "b"): "2", ("a", "c"): ["x", "z"]}, "x.toml") == (
        '# top\n[a]\nb = "2" # one\nc = [\n  "x", # first\n  "z",\n]\n'
    )
    with pytest.raises(InvalidRecipe, match=r"no `a\.d`"):
        edited(text, {("a", "d"): "2"}, "x.toml")
    with pytest.raises(InvalidRecipe, match="not TOML"):
        edited("[", {}, "x.toml")
