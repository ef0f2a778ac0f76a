"""What two locks differ in."""

from __future__ import annotations

import pytest

from layerlock.cli.differences import locks_line, locks_text
from layerlock.model.lock import LockedFile, LockedGit, SignedIndex
from layerlock.reproduce.locks import compare_locks, version_of
from tests.reproduce.locks import OTHER, TREE, derivation, lock, recorded, source


def test_the_same_lock_is_identical() -> None:
    one = lock(source(), derivation("zstd", "1", TREE, script="x"), made=recorded("e"))
    found = compare_locks(one, one)
    assert found.identical
    assert found.same_zip
    assert locks_text(found) == "identical"


def test_a_moved_source_is_told_by_version_and_hash() -> None:
    before = lock(source(), derivation("zstd", "1", script="x", inputs="i"), made=recorded("e"))
    after = lock(
        source(version="1.5.5", sha256="b" * 64),
        derivation("zstd", "2", script="y", inputs="i"),
        made=recorded("f", 90),
    )
    found = compare_locks(before, after)
    assert locks_text(found).split("\n") == [
        "different: 1 source, 1 derivation",
        "sources:",
        f"  zstd/zstd: 1.5.4 ({'a' * 16}) before, 1.5.5 ({'b' * 16}) after",
        "derivations:",
        "  zstd: script",
        "zip:",
        f"  before  {'e' * 16}, 100 bytes, 300 unzipped",
        f"  after   {'f' * 16}, 90 bytes, 270 unzipped",
        "  change  -10 bytes, -30 unzipped",
    ]
    assert locks_line(found) == "sources: zstd/zstd 1.5.4 to 1.5.5; derivations: zstd"


def test_what_only_follows_stands_apart() -> None:
    before = lock(derivation("a", "1", script="x"), derivation("b", "1", inputs="x", script="s"))
    after = lock(derivation("a", "2", script="y"), derivation("b", "2", inputs="y", script="s"))
    found = compare_locks(before, after)
    assert [(change.name, change.follows) for change in found.derivations] == [("a", False), ("b", True)]
    assert "derivations that follow from their inputs:\n  b" in locks_text(found)
    assert locks_line(found) == "derivations: a"


def test_what_a_change_did_to_sizes() -> None:
    before = lock(
        derivation("a", "1", TREE, 3_000_000, script="x"), derivation("b", "1", TREE, 500, inputs="x")
    )
    after = lock(
        derivation("a", "2", OTHER, 2_000_000, script="y"), derivation("b", "2", OTHER, 501, inputs="y")
    )
    text = locks_text(compare_locks(before, after))
    assert "  a: script; another output, -1,000,000 bytes (3.0 MB to 2.0 MB)\n" in text
    assert text.endswith("derivations that follow from their inputs:\n  b, +1 bytes (500 B to 501 B)")


def test_another_output_of_the_same_plan_is_what_matters() -> None:
    found = compare_locks(lock(derivation("a", "1", TREE)), lock(derivation("a", "1", OTHER)))
    assert found.derivations[0].unexplained
    assert locks_text(found).startswith("different: 1 derivation with other outputs of the same plan\n")
    assert locks_line(found) == "other outputs of the same plan: a"


def test_a_new_record_is_no_unexplained_output() -> None:
    found = compare_locks(lock(derivation("a", "1")), lock(derivation("a", "1", TREE)))
    assert not found.derivations[0].unexplained
    assert not found.identical
    assert locks_line(found) == "records only"


def test_what_one_lock_lacks() -> None:
    before = lock(source("a/a"), derivation("a", "1"))
    after = lock(source("b/b"), derivation("b", "1"))
    found = compare_locks(before, after)
    assert [(change.key, change.what) for change in found.sources] == [("a/a", "removed"), ("b/b", "added")]
    assert [(change.name, change.what) for change in found.derivations] == [("b", "added"), ("a", "removed")]
    text = locks_text(found)
    assert "  a/a: removed, 1.5.4 (" in text
    assert "  b: added\n  a: removed" in text


def test_other_addresses_of_the_same_bytes_are_told_apart() -> None:
    found = compare_locks(lock(source()), lock(source(host="two")))
    assert found.sources[0].addresses_only
    assert "sources with other addresses, the same bytes:\n  zstd/zstd" in locks_text(found)
    assert locks_line(found) == "addresses of 1 source"


def test_parts_that_a_lock_does_not_tell() -> None:
    found = compare_locks(lock(derivation("a", "1")), lock(derivation("a", "2")))
    assert "  a: not known, the locks tell no parts" in locks_text(found)


def test_an_index_of_another_date() -> None:
    import dataclasses  # noqa: PLC0415

    def dated(date: str) -> SignedIndex:
        return SignedIndex(archive="debian", suite="bullseye", date=date, sha256="a" * 64, signed_by="b" * 40)

    one, two = (dataclasses.replace(lock(), indexes=(dated(date),)) for date in ("2025", "2026"))
    assert compare_locks(one, two).indexes == ("debian bullseye: 2025 before, 2026 after",)


@pytest.mark.parametrize(
    ("file", "version"),
    [
        ("zstd-1.5.4.tar.gz", "1.5.4"),
        ("libzstd_1.5.4+dfsg2.orig.tar.xz", "1.5.4+dfsg2"),
        ("gcc-10_10.2.1-6_amd64.deb", "10.2.1-6"),
        ("libx_1%3a2.0-1_all.deb", "1:2.0-1"),
        ("Cython-0.29.33-cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64.whl", "0.29.33"),
        ("v4.7.0.zip", "4.7.0"),
        ("atlas.tar.bz2", ""),
    ],
)
def test_versions_that_file_names_tell(file: str, version: str) -> None:
    made = LockedFile(kind="file", key="a/a", urls=(f"https://x.invalid/{file}",), sha256="a" * 64, size=1)
    assert version_of(made) == version


def test_a_layer_of_an_image_has_no_version() -> None:
    urls = (f"oci:quay.io/pypa/manylinux2014_x86_64@sha256:{'1' * 64}",)
    assert version_of(LockedFile(kind="file", key="a/layer-001", urls=urls, sha256="1" * 64, size=1)) == ""


def test_the_version_of_a_git_source() -> None:
    made = LockedGit(
        kind="git", key="a/a", urls=("https://x.invalid/a",), commit="c" * 40, tree=TREE, ref="refs/tags/v1"
    )
    assert version_of(made) == f"v1 {'c' * 12}"
