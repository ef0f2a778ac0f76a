"""The collaborators that are slow to load: the network, and the program that makes sandboxes."""

from __future__ import annotations

from pathlib import Path

from layerlock.cli.settings import Settings
from layerlock.io.archives import unpack_deb
from layerlock.io.http import Fetcher
from layerlock.io.repository import Repository
from layerlock.model.derivation import Realisation
from layerlock.model.digest import digest
from layerlock.model.recipe import Deb
from layerlock.sandbox.probe import probe
from layerlock.sandbox.program import Program, find
from layerlock.sources.fetch import Reach
from layerlock.sources.git_program import GitProgram
from layerlock.sources.origins import Origins
from layerlock.store.local import LocalStore
from layerlock.workflows.planning import deb_pin
from layerlock.workflows.supplier import StoreSupplier


def make_reach(settings: Settings) -> Reach:
    """Put together how sources are reached on this host."""
    repository = Repository(settings.repository)
    moments = {repository.environment(name).environment.snapshot for name in repository.names("environments")}
    origins = Origins.of_host(
        settings.environment, snapshots=tuple(sorted((m for m in moments if m), reverse=True))
    )
    return Reach(
        fetcher=Fetcher(certificates=origins.certificates),
        origins=origins,
        git=GitProgram(variables=settings.environment),
        repository=settings.repository,
        offline=settings.offline or settings.archive is not None,
    )


def find_program(store: LocalStore, supplier: StoreSupplier) -> Program:
    """Find bubblewrap: the pinned one out of the store, else the host's.

    Raises:
        SandboxUnavailable: neither works here.
    """
    return find(lambda debs: _unpacked(debs, store, supplier), probe)


def _unpacked(debs: tuple[Deb, ...], store: LocalStore, supplier: StoreSupplier) -> Path:
    """Give the folder of the unpacked packages, from the store if they were unpacked before.

    The program is no part of any derivation: what builds see does not depend on it. Only its place is looked up
    as if it were one.
    """
    key = digest({"sandbox-program": [deb.sha256 for deb in debs]})
    made = store.planned(key)
    if made is not None and (tree := store.tree(made.output)) is not None:
        return tree
    with store.scratch("sandbox-program") as scratch:
        folder = scratch / "tree"
        folder.mkdir()
        for deb in debs:
            unpack_deb(supplier.fetch(deb_pin("sandbox-program", deb)), folder)
        entry = store.add_tree(folder, "sandbox-program")
    store.register(
        Realisation(name="sandbox-program", planned=key, resolved=key, output=entry.sri, size=entry.size)
    )
    return store.held_tree(entry.sri)
