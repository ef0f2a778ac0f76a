"""The collaborators that are slow to load: the network, and the program that makes sandboxes."""

from __future__ import annotations

import platform
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from layerlock.cli.settings import Settings
from layerlock.errors import LayerlockError
from layerlock.io.answers import Patience
from layerlock.io.archives import unpack_deb
from layerlock.io.http import Fetcher
from layerlock.io.repository import Repository
from layerlock.model.derivation import Realisation
from layerlock.model.digest import digest
from layerlock.model.recipe import Deb
from layerlock.sandbox.probe import probe
from layerlock.sandbox.program import Program, find, pinned
from layerlock.sources.fetch import Reach
from layerlock.sources.git_program import GitProgram
from layerlock.sources.origins import Origins
from layerlock.store.keep import Keep
from layerlock.store.local import LocalStore
from layerlock.store.sound import sound_file, sound_tree
from layerlock.workflows.keeping import outputs
from layerlock.workflows.planning import PROGRAM, program_pin
from layerlock.workflows.supplier import StoreSupplier

if TYPE_CHECKING:
    from layerlock.sandbox.engine.station import Station


def make_reach(settings: Settings) -> Reach:
    """Put together how sources are reached on this host."""
    return reach_at(settings, Repository(settings.repository).snapshots())


def reach_at(settings: Settings, snapshots: tuple[str, ...]) -> Reach:
    """Put together how sources are reached on this host, with these moments of Debian's archive."""
    origins = Origins.of_host(settings.environment, snapshots=snapshots)
    return Reach(
        fetcher=Fetcher(certificates=origins.certificates),
        origins=origins,
        git=GitProgram(variables=settings.environment),
        repository=settings.repository,
        offline=settings.offline or settings.archive is not None,
    )


def briefly(settings: Settings, repository: Repository | None) -> tuple[Reach, str]:
    """Give how sources are reached, for who only wants to know whether they can be, and a suite of Debian's.

    Servers are asked once and get seconds, and of snapshots only the latest counts. Recipes that cannot be read are
    left out: what is wrong with them is for others to say.
    """
    environments = []
    if repository is not None:
        for name in repository.names("environments"):
            with suppress(LayerlockError):
                environments.append(repository.environment(name).environment)
    moments = sorted((each.snapshot for each in environments if each.snapshot), reverse=True)
    origins = Origins.of_host(settings.environment, snapshots=tuple(moments[:1]))
    patience = Patience(connect=5, read=5, answer=10, window=10, tries=1)
    reach = Reach(
        fetcher=Fetcher(patience=patience, certificates=origins.certificates),
        origins=origins,
        git=GitProgram(variables=settings.environment),
        repository=settings.repository,
        offline=settings.offline,
    )
    return reach, next((each.suite for each in environments if each.suite), "stable")


def find_program(store: LocalStore, supplier: StoreSupplier) -> Program:
    """Find bubblewrap: the pinned one out of the store, else the host's.

    Raises:
        SandboxUnavailable: neither works here.
    """
    return find(lambda debs: _unpacked(debs, store, supplier), probe)


def open_engine(settings: Settings, store: LocalStore, supplier: StoreSupplier) -> Station:
    """Make the docker engine ready that the environment names.

    Raises:
        SandboxUnavailable: there is none, or it cannot run sandboxes.
    """
    from layerlock.sandbox.engine.station import WHOLE, open_station  # noqa: PLC0415 - brings `docker` in

    return open_station(
        settings.environment,
        lambda debs: _unpacked(debs, store, supplier),
        store.scratch,
        machine=platform.machine(),
        # Where folders cannot be mounted, what a build leaves in /build is of use only to a person who looks at it.
        returned=WHOLE if settings.keep_failed else ("/out", "/build/report.json"),
    )


def _unpacked(debs: tuple[Deb, ...], store: LocalStore, supplier: StoreSupplier) -> Path:
    """Give the folder of the unpacked packages, from the store if they were unpacked before.

    The program is no part of any derivation: what builds see does not depend on it. Only its place is looked up
    as if it were one.
    """
    key = _key(debs)
    if (tree := _unpacked_before(key, store)) is not None:
        return tree
    with store.alone(key, lambda: None):
        if (tree := _unpacked_before(key, store)) is not None:
            return tree
        with store.scratch(PROGRAM) as scratch:
            folder = scratch / "tree"
            folder.mkdir()
            for deb in debs:
                supplier.fetch(program_pin(deb))
                unpack_deb(sound_file(store, deb.sha256), folder)
            entry = store.add_tree(folder, PROGRAM)
        store.register(
            Realisation(name=PROGRAM, planned=key, resolved=key, output=entry.sri, size=entry.size)
        )
    return store.held_tree(entry.sri)


def _unpacked_before(key: str, store: LocalStore) -> Path | None:
    """Look for the folder; a build that found it there holds it like what it made itself."""
    made = store.planned(key)
    if made is None:
        return None
    store.hold(outputs((made,)))
    return None if store.tree(made.output) is None else sound_tree(store, made.output)


def _key(debs: tuple[Deb, ...]) -> str:
    return digest({PROGRAM: [deb.sha256 for deb in debs]})


def program_needs(store: LocalStore) -> Keep:
    """Give what of a store the sandbox's program is: any build would fetch and unpack it again."""
    pin = pinned(platform.machine())
    if pin is None:
        return Keep()
    made = store.planned(_key(pin.debs))
    files = Keep(files=frozenset(deb.sha256 for deb in pin.debs))
    return files | (outputs((made,)) if made is not None else Keep())
