"""Pins, locks and leftovers: each defect is planted, named and placed, and its absence is silence."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from layerlock.model.findings import Severity
from layerlock.model.lock import LockedFile
from tests.audit.conftest import DEB, SOURCE, Shelf, sha256


def place(shelf: Shelf, check: str) -> tuple[str, int | None]:
    """Give file and line of the only finding of a check."""
    (finding,) = shelf.found(check)
    assert finding.check == check
    assert finding.location is not None
    return finding.location.file, finding.location.line


def test_a_sound_repository_has_no_findings_but_its_missing_record(locked: Shelf) -> None:
    audited = locked.audit()
    assert [told.finding.check for told in audited.findings] == ["recorded"]
    assert audited.unbuilt == ("demo",)


def test_a_recipe_that_cannot_be_read_is_named_with_its_line_though_no_layer_uses_it(locked: Shelf) -> None:
    assert locked.found("recipes") == []
    locked.write("recipes/packages/other.toml", '[package]\nname = "other"\nversion = 1\nlicense = "MIT"\n')
    assert place(locked, "recipes") == ("recipes/packages/other.toml", 3)


def test_a_layer_that_cannot_be_read_does_not_hide_the_others(locked: Shelf) -> None:
    locked.write("recipes/layers/broken.toml", '[layer]\nname = "broken"\nsumary = "x"\n')
    (finding,) = locked.found("recipes", layers=("broken",))
    assert (finding.subject, finding.severity) == ("broken", Severity.ERROR)
    assert finding.location is not None
    assert (finding.location.file, finding.location.line) == ("recipes/layers/broken.toml", 3)


def test_a_patch_with_other_bytes(locked: Shelf) -> None:
    path = locked.root / "patches/hello/0001-greet-everyone.patch"
    path.write_text(path.read_text() + "\n")
    assert place(locked, "recipes") == ("recipes/packages/hello.toml", 13)


def test_a_missing_lock(shelf: Shelf) -> None:
    (finding,) = shelf.found("lock-fits")
    assert "has no lock" in finding.message
    assert finding.hint == "run: nox -s lock -- demo"


def test_a_lock_of_other_sources_names_all_of_them(locked: Shelf) -> None:
    assert locked.found("lock-fits") == []
    locked.edit("recipes/packages/hello.toml", sha256(SOURCE), "1" * 64)
    locked.edit("recipes/environments/root.debs.toml", sha256(DEB), "2" * 64)
    locked.write("code/python.txt", "another language\n")
    found = {finding.subject: finding for finding in locked.found("lock-fits")}
    assert set(found) == {"hello/hello", "root/bash", "python/python"}
    where = found["hello/hello"].location
    assert where is not None and (where.file, where.line) == ("recipes/packages/hello.toml", 9)


def test_a_lock_of_other_derivations(locked: Shelf) -> None:
    locked.edit("recipes/packages/hello.toml", '"-Os"', '"-O2"')
    (finding,) = locked.found("lock-fits")
    assert "`build.variables` of `hello`" in finding.message


GIT = '[[sources]]\nkind = "git"\nname = "extra"\nurls = ["{url}"]\ncommit = "{commit}"\n{tree}\n[[patches]]'


def with_git(shelf: Shelf, url: str, tree: str = "") -> None:
    """Give the package a git source."""
    text = GIT.format(url=url, commit="a" * 40, tree=tree)
    shelf.edit("recipes/packages/hello.toml", "[[patches]]", text)


def test_a_checkout_without_a_tree_hash(shelf: Shelf) -> None:
    with_git(shelf, "https://example.org/hello.git")
    (finding,) = shelf.found("pinned")
    assert (finding.subject, finding.severity) == ("hello/extra", Severity.ERROR)
    shelf.lock()
    (finding,) = shelf.found("pinned")
    assert finding.severity is Severity.NOTE


def test_a_checkout_with_a_tree_hash_is_pinned(shelf: Shelf) -> None:
    with_git(shelf, "https://example.org/hello.git", f'tree = "sha256-{"A" * 43}="\n')
    assert shelf.found("pinned", "plain-http") == []


def test_debian_packages_that_are_not_pinned(locked: Shelf) -> None:
    locked.edit("recipes/environments/root.toml", '["bash"]', '["bash", "gcc"]')
    (finding,) = locked.found("pinned")
    assert "not pinned: gcc" in finding.message


def test_debian_packages_that_no_signed_index_vouched_for(shelf: Shelf) -> None:
    shelf.lock(indexes=())
    (finding,) = shelf.found("pinned")
    assert (finding.subject, finding.severity) == ("root", Severity.WARNING)


def test_plain_http_is_an_error_without_a_hash_and_a_note_with_one(shelf: Shelf) -> None:
    shelf.edit("recipes/packages/hello.toml", "https://example.org", "http://example.org")
    with_git(shelf, "git://example.org/hello.git")
    found = {finding.subject: finding.severity for finding in shelf.found("plain-http")}
    assert found == {"hello/hello": Severity.NOTE, "hello/extra": Severity.ERROR}


def test_a_recorded_layer_is_not_called_unrecorded(locked: Shelf) -> None:
    (finding,) = locked.found("recorded")
    assert finding.hint == "run: nox -s record -- demo"
    locked.build({"a": "a"}, {"a": "a"}, {})
    assert locked.found("recorded") == []


def test_unused_patches_recipes_and_files(locked: Shelf) -> None:
    assert locked.found("unused-patch", "unused-recipe") == []
    locked.write("patches/hello/0002-forgotten.patch", "")
    locked.write("recipes/smoke/old.py", "")
    locked.write(
        "recipes/packages/old.toml",
        (locked.root / "recipes/packages/python.toml").read_text().replace('"python"', '"old"', 1),
    )
    assert place(locked, "unused-patch") == ("patches/hello/0002-forgotten.patch", 1)
    found = {finding.subject: finding.severity for finding in locked.found("unused-recipe")}
    assert found == {"old": Severity.NOTE, "recipes/smoke/old.py": Severity.NOTE}


def test_lock_entries_that_nothing_needs(shelf: Shelf) -> None:
    lock = shelf.lock()
    assert shelf.found("unused-lock-entry") == []
    extra = LockedFile(
        kind="file", key="hello/zebra", urls=("https://example.org/z",), sha256="0" * 64, size=1
    )
    derivation = dataclasses.replace(lock.derivations[0], name="zebra")
    shelf.lock(sources=(*lock.sources, extra), derivations=(*lock.derivations, derivation))
    shelf.write("lockfiles/gone.lock", "")
    found = {finding.subject: finding for finding in shelf.found("unused-lock-entry")}
    assert set(found) == {"hello/zebra", "zebra", "lockfiles/gone.lock"}
    where = found["hello/zebra"].location
    assert where is not None and where.line is not None
    lines = (shelf.root / "lockfiles/demo.lock").read_text().split("\n")
    assert lines[where.line - 1 : where.line + 2] == ["[[sources]]", 'kind = "file"', 'key = "hello/zebra"']


def damage(path: Path) -> None:
    """Change a file of the store behind its back."""
    path.chmod(0o644)
    path.write_bytes(path.read_bytes() + b"!")


def test_bytes_in_the_store_that_changed(locked: Shelf) -> None:
    locked.build({"a": "a"}, {"a": "a"}, {})
    store = locked.driver().store

    def fill(path: Path) -> None:
        path.write_bytes(SOURCE)

    source = store.add_file(sha256(SOURCE), "hello.tar.gz", fill)
    assert locked.found("stored-bytes", "output-differs") == []
    damage(source)
    (finding,) = locked.found("stored-bytes")
    assert finding.subject == "hello/hello"
    damage(next(locked.store.glob("trees/*-layer-demo-tree/tree/a")))
    damage(next(locked.store.glob("trees/*-layer-demo-zip/demo.zip")))
    assert {finding.subject for finding in locked.found("stored-bytes")} == {
        "hello/hello",
        "the tree of demo",
        "demo.zip",
    }


def test_an_output_that_is_not_the_recorded_one(locked: Shelf) -> None:
    locked.build({"a": "a"}, {"a": "a"}, {})
    path = locked.root / "lockfiles/demo.lock"
    hello = locked.driver().store.planned(locked.plan().planned["hello"])
    assert hello is not None
    path.write_text(path.read_text().replace(hello.output, f"sha256-{'B' * 43}="))
    (finding,) = locked.found("output-differs")
    assert finding.subject == "hello"


def test_skips_leave_out_with_a_reason_and_are_told_when_they_excuse_nothing(locked: Shelf) -> None:
    before = locked.plan().planned
    text = '[[layer.audit.skip]]\ncheck = "{}"\nreason = "It is a draft."\n\n[[prune]]'
    locked.edit("recipes/layers/demo.toml", "[[prune]]", text.format("recorded"))
    assert locked.plan().planned == before, "an audit's skip must not change what is built"
    audited = locked.audit()
    assert audited.findings == ()
    assert [(told.finding.check, told.skipped) for told in audited.skipped] == [
        ("recorded", "It is a draft.")
    ]
    locked.edit("recipes/layers/demo.toml", '"recorded"', '"unused-patch"')
    assert [f.check for f in locked.found()] == ["recorded", "skips"]
    skip = locked.found()[1]
    assert skip.location is not None and (skip.location.file, skip.location.line) == (
        "recipes/layers/demo.toml",
        9,
    )
    locked.edit("recipes/layers/demo.toml", '"unused-patch"', '"no-such-check"')
    (finding,) = locked.found("skips")
    assert "no-such-check" in finding.message
    assert finding.location is not None and finding.location.line == 9


def test_a_skip_may_be_of_one_subject(locked: Shelf) -> None:
    text = '[[layer.audit.skip]]\ncheck = "unused-patch"\nsubject = "patches/a.patch"\nreason = "Kept."\n\n[[prune]]'
    locked.edit("recipes/layers/demo.toml", "[[prune]]", text)
    locked.write("patches/a.patch", "")
    locked.write("patches/b.patch", "")
    assert [finding.subject for finding in locked.found("unused-patch")] == ["patches/b.patch"]


def test_a_finding_of_several_layers_is_told_once(locked: Shelf) -> None:
    locked.write(
        "recipes/layers/demo-small.toml", '[layer]\nname = "demo-small"\nbase = "demo"\nsummary = "x"\n'
    )
    locked.write("patches/a.patch", "")
    (told,) = locked.audit("unused-patch", layers=("demo", "demo-small")).findings
    assert told.layers == ("demo", "demo-small")


def test_an_image_that_is_not_pinned(locked: Shelf) -> None:
    locked.write(
        "recipes/environments/root.toml",
        '[environment]\nname = "root"\nimage = "registry.example.org/root:1"\n',
    )
    (locked.root / "recipes/environments/root.debs.toml").unlink()
    (finding,) = locked.found("pinned")
    assert (finding.subject, finding.severity) == ("root", Severity.ERROR)
