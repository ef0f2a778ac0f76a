"""Lists of packages: reading them, comparing versions, and closures."""

from __future__ import annotations

import itertools
import shutil
import subprocess
import time

import pytest

from layerlock.errors import InvalidRecipe
from layerlock.sources.debian_packages import closure, older, pinned, read_packages
from tests.sources.debian import STANZAS

PACKAGES = read_packages(STANZAS)


def chosen(*roots: str, without: tuple[str, ...] = ()) -> list[str]:
    return [package.name for package in closure(PACKAGES, roots, without)]


def test_a_list_is_read() -> None:
    package = PACKAGES.by_name["libone"]
    assert package.version == "2:1.0-1+b2"
    assert package.depends == (("libc6",),)
    deb = pinned(package, "debian")
    assert deb.path == "debian:debian/pool/main/libo/libone/libone_1.0-1+b2_amd64.deb"
    assert (deb.name, deb.size) == ("libone", 5)
    assert PACKAGES.providers["awk"] == ("gawk", "mawk")


def test_of_a_name_that_comes_twice_the_newest_counts() -> None:
    twice = STANZAS + "\n" + STANZAS.replace("Version: 2.31", "Version: 2.31~rc1")
    assert read_packages(twice).by_name["libc6"].version == "2.31"
    newer = STANZAS + "\n" + STANZAS.replace("Version: 2.31", "Version: 2.31-1")
    assert read_packages(newer).by_name["libc6"].version == "2.31-1"


def test_what_packages_need_comes_along() -> None:
    assert chosen("libone") == ["libc6", "libone"]


def test_of_alternatives_what_is_a_root_counts_else_the_first() -> None:
    assert chosen("base") == ["base", "gawk", "libc6", "libone"]
    assert chosen("base", "mawk") == ["base", "libc6", "libone", "mawk"]


def test_what_is_left_out_takes_its_own_needs_along() -> None:
    assert chosen("base", without=("libone", "gawk")) == ["base"]


def test_what_does_not_exist_is_named() -> None:
    with pytest.raises(InvalidRecipe, match="no package `nothing`"):
        chosen("nothing")
    broken = read_packages(STANZAS.replace("Pre-Depends: libc6", "Pre-Depends: gone | lost"))
    with pytest.raises(InvalidRecipe, match=r"`gone \| lost`, which `libone` needs"):
        closure(broken, ("libone",))


VERSIONS = "0 1.0 1.00 1.0-0 1.0-1 1.0~rc1 1.0~~ 1.0+b1 1:0.1 2.31-13+deb11u1 2.31-13 1.0a 1.0.1 1.0-1~bpo 10.2-6 9 1a1"


def test_versions_compare_as_dpkg_compares_them() -> None:
    dpkg = shutil.which("dpkg")
    if dpkg is None:
        pytest.skip("dpkg is not installed")
    for one, two in itertools.combinations(VERSIONS.split(), 2):
        for a, b in ((one, two), (two, one)):
            said = subprocess.run([dpkg, "--compare-versions", a, "lt", b], check=False).returncode == 0
            assert older(a, b) == said, (a, b)


def test_a_whole_suite_is_read_in_seconds() -> None:
    stanza = STANZAS.split("\n\n")[0] + "\nDescription: text\nTag: a::b, c::d\n"
    text = "\n".join(stanza.replace("Package: base", f"Package: base{n}") for n in range(60_000))
    started = time.monotonic()
    assert len(read_packages(text).by_name) == 60_000
    assert time.monotonic() - started < 30
