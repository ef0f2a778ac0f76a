"""Locks of every version there ever was: each is read for ever, and means what it meant."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from layerlock.errors import InvalidRecipe, StaleLock
from layerlock.io.lockfile import dump_lock, parse_lock, read_lock
from layerlock.model.lock import (
    VERSION,
    Lock,
    LockedDerivation,
    LockedFile,
    LockedGit,
    LockedPath,
    RecordedZip,
    SignedIndex,
)

HERE = Path(__file__).parent / "locks"

DEMO = Lock(
    version=1,
    layer="demo",
    indexes=(
        SignedIndex(
            archive="debian",
            suite="bullseye",
            date="2025-08-09T09:16:30Z",
            sha256="7917d4598768bfc4a25776eb0f6bf2f7d1f13301c2dc1e16467ef170dd752d40",
            signed_by="1f89983e0081fde018f3cc9673a4f27b8dd47936",
        ),
    ),
    zip=RecordedZip(
        sha256="9157ce00af7f8d21b5f0f187819c219a5988d560bc83649c3ee24fcece92b79d",
        size=27549127,
        unzipped=80805824,
        tree="sha256-on9Q6QDpy+iQuxdSuiX2bYgHWVoWcP9wPi1crxTVbzg=",
    ),
    sources=(
        LockedFile(
            kind="file",
            key="bullseye/bash",
            urls=("debian:debian/pool/main/b/bash/bash_5.1-2+deb11u1_amd64.deb",),
            sha256="f702ef058e762d7208a9c83f6f6bbf02645533bfd615c54e8cdcce842cd57377",
            size=1417312,
        ),
        LockedPath(
            kind="path",
            key="own/own",
            path="code/own",
            tree="sha256-AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
        ),
        LockedGit(
            kind="git",
            key="scipy/scipy",
            urls=("https://github.com/scipy/scipy", "https://mirror.invalid/scipy"),
            commit="7f2ac6927d460c03bdbaff99e7acd6a596296101",
            tree="sha256-hmHbFrqTmk3x0t+b2wVM+Lv+Tl441mawPp8XIv7srh0=",
            ref="refs/heads/maintenance/1.10.x",
        ),
    ),
    derivations=(
        LockedDerivation(
            name="environment-bullseye",
            planned="1" * 64,
            output="sha256-jUeGsu8+jzzCnIFbVMCW8DcUeGv/t1yCY/WXyW+uGDI=",
            fields={"name": "0123456789abcdef", "sources": "fedcba9876543210"},
        ),
        LockedDerivation(name="layer-demo-smoke", planned="2" * 64),
    ),
)


def test_there_is_a_golden_of_every_version() -> None:
    assert sorted(path.name for path in HERE.glob("*.lock")) == [
        f"version-{n}.lock" for n in range(1, VERSION + 1)
    ]


def test_version_1_says_what_it_always_said() -> None:
    """Never changed: whoever writes a new version adds a golden and keeps this one as it is."""
    assert read_lock(HERE / "version-1.lock", "demo") == DEMO


def test_version_2_tells_sizes_of_outputs() -> None:
    first, *rest = DEMO.derivations
    expected = replace(DEMO, version=2, derivations=(replace(first, size=460496624), *rest))
    assert read_lock(HERE / "version-2.lock", "demo") == expected


def test_what_is_written_is_the_newest_golden() -> None:
    text = (HERE / f"version-{VERSION}.lock").read_text()
    assert dump_lock(parse_lock(text.encode(), "a lock")) == text


@pytest.mark.parametrize("ends", ["\r\n", "\r"])
def test_line_ends_do_not_count(ends: str) -> None:
    text = (HERE / "version-1.lock").read_text().replace("\n", ends)
    assert parse_lock(text.encode(), "a lock") == DEMO


def test_a_lock_of_a_newer_version(tmp_path: Path) -> None:
    path = tmp_path / "demo.lock"
    path.write_text(f'version = {VERSION + 1}\nlayer = "demo"\nwhat_comes = "next"\n')
    with pytest.raises(InvalidRecipe, match=f"reads up to {VERSION}") as caught:
        read_lock(path, "demo")
    assert caught.value.hint == "use a newer layerlock"
    assert str(caught.value.location) == "lockfiles/demo.lock:1"
    with pytest.raises(StaleLock, match="has no lock"):
        read_lock(tmp_path / "other.lock", "other")
