"""The lists of what Amazon Linux exports are what the command makes of the pinned Debian packages."""

from __future__ import annotations

import pytest

from layerlock.audit.exports import parse_exports
from tools.exports import SYSTEMS, derive

from .conftest import ROOT, Bench


@pytest.mark.sandbox  # fetches the packages of three small environments
@pytest.mark.parametrize("name", sorted(SYSTEMS))
def test_a_list_is_derived_anew(bench: Bench, name: str) -> None:
    path = ROOT / "recipes" / "runtimes" / f"{name}.exports"
    assert derive(bench.driver(), name) == path.read_text(), (
        f"if the pins were moved on purpose, run: python -m tools.exports {name}"
    )


def test_what_moved_to_libc_is_still_found_under_the_old_name() -> None:
    path = ROOT / "recipes" / "runtimes" / "amazonlinux2023-x86_64.exports"
    libraries = parse_exports(path.read_text(), path.name)
    pthread, libc = libraries["libpthread.so.0"], libraries["libc.so.6"]
    for library in (pthread, libc):
        assert library.defines("pthread_create", "GLIBC_2.2.5")
    # Its version of the move: programs linked since ask libc.so.6 alone for it.
    assert libc.defines("pthread_create", "GLIBC_2.34")
    assert not pthread.defines("pthread_create", "GLIBC_2.34")
    assert not libc.defines("__libc_start_main", "GLIBC_2.35")
