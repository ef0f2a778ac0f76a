"""This host's own index, archive and github.com, where they can be reached: pins of this repository's recipes."""

from __future__ import annotations

import hashlib
import os
import socket
from datetime import UTC, datetime
from pathlib import Path

import pytest

from layerlock.errors import FetchError
from layerlock.events import silent
from layerlock.io.http import Fetcher
from layerlock.io.nar import nar_sha256
from layerlock.io.repository import Repository
from layerlock.model.lock import LockedFile
from layerlock.model.ports import SourceStore
from layerlock.sources.debian_index import fetch_index
from layerlock.sources.fetch import fetch_file
from layerlock.sources.git import checkout
from layerlock.sources.git_program import GitProgram
from layerlock.sources.origins import Origins

REPOSITORY = Path(__file__).parents[2]
SIX = "8abb2f1d86890a2dfb989f9a77cfcfd3e47c2a354b01111771326f8aa26e0254"


def test_a_wheel_from_the_hosts_index(fetcher: Fetcher, store: SourceStore) -> None:
    locked = LockedFile(
        kind="file", key="six/six", urls=("pypi:six/six-1.16.0-py2.py3-none-any.whl",), sha256=SIX, size=11053
    )
    origins = Origins.of_host(os.environ)
    try:
        place = fetch_file(locked, store=store, fetcher=fetcher, origins=origins, emit=silent, offline=False)
    except FetchError as error:
        pytest.skip(f"no index can be reached: {error}")
    assert hashlib.sha256(place.read_bytes()).hexdigest() == SIX


def test_the_pins_of_the_environment_are_debians(fetcher: Fetcher) -> None:
    recipe = Repository(REPOSITORY).environment("bullseye")
    try:
        index = fetch_index(
            recipe.environment,
            origins=Origins.of_host(os.environ),
            fetcher=fetcher,
            emit=silent,
            now=datetime.now(UTC),
        )
    except FetchError as error:
        pytest.skip(f"no archive can be reached: {error}")
    vouched = index.vouch(recipe.debs)
    # A suite is updated until it is archived; what it lists of the pins' names must still be there.
    if not vouched.complete:
        pytest.skip("the archive has moved on from the pins")
    assert index.closure(recipe.environment.packages, recipe.environment.without) == recipe.debs


@pytest.mark.long
@pytest.mark.parametrize(
    ("commit", "tree"),
    [
        ("7f2ac6927d460c03bdbaff99e7acd6a596296101", "sha256-hmHbFrqTmk3x0t+b2wVM+Lv+Tl441mawPp8XIv7srh0="),
        ("c1ed5ece8ffbf05356a22a8106affcd11bd3aee0", "sha256-aRrMlOgVp1/iCmDBm91854SysfVhLXj76NtltCwDnmg="),
    ],
)
def test_scipys_tree_with_its_submodules_has_the_hash_that_nix_gives(
    commit: str, tree: str, program: GitProgram, scratch: Path
) -> None:
    try:
        socket.create_connection(("github.com", 443), timeout=5).close()
    except OSError as error:
        pytest.skip(f"github.com cannot be reached: {error}")
    place = checkout(
        program,
        ("https://github.com/scipy/scipy",),
        commit,
        scratch=scratch,
        name="scipy/scipy",
        with_submodules=True,
    )
    assert nar_sha256(place) == tree
