"""From a plan to the nodes of a graph: what to fetch, what to build, and all that a worker needs to be told."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from layerlock.cluster.bench import pack_folder
from layerlock.cluster.dask import needs, versions
from layerlock.cluster.graph import Node
from layerlock.cluster.orders import BuildOrder, FetchOrder, GuestOrder
from layerlock.cluster.wire import pack
from layerlock.model.derivation import Derivation, GuestFile, GuestRun
from layerlock.model.digest import digest
from layerlock.model.lock import LockedPath, LockedSource
from layerlock.plan.resolve import Plan


@dataclass(frozen=True, kw_only=True, slots=True)
class Task:
    """A task that builds: what, by name, and which copy of it (0, but where each is built more than once)."""

    name: str
    copy: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Materials:
    """What orders are made from.

    `repository` and `guest` are folders; `folder` gives the tree of a folder of the repository that is a source.
    `keys` are those whose signatures count, `snapshots` the moments of Debian's archive that may be asked, `kind` the
    sandbox that is asked for. `priorities` say by name what goes first. `copies` is how often each is built.
    """

    plan: Plan
    pins: Mapping[str, LockedSource]
    repository: Path
    guest: Path
    folder: Callable[[LockedPath], Path]
    keys: frozenset[str]
    snapshots: tuple[str, ...]
    kind: str
    priorities: Mapping[str, float]
    copies: int = 1


class Composer:
    """Makes the nodes for some derivations of a plan; a derivation that is tried again has another key, and so has
    all that is made from it.
    """

    def __init__(self, materials: Materials, wanted: Collection[str]) -> None:
        self._materials = materials
        self._wanted = {one.name: one for one in materials.plan.derivations if one.name in wanted}
        self._order = cache(self._make_order)
        self._fetch = cache(self._make_fetch)
        self._file = cache(lambda path: path.read_bytes())

    def nodes(
        self, tries: Mapping[str, int], workers: Callable[[str, int], tuple[str, ...]], *, stated: bool
    ) -> tuple[list[Node], dict[str, Task]]:
        """Give the nodes, and what the tasks are that build, by key.

        `tries` says how often a derivation was tried in vain; `workers` gives the addresses that may build a copy of
        a derivation (all, where empty). `stated` says whether nodes state the resources that they take.
        """
        nodes: dict[str, Node] = {}
        tasks: dict[str, Task] = {}
        before: dict[str, dict[str, int]] = {}
        keys: dict[str, str] = {}
        for name, derivation in self._wanted.items():
            before[name] = {name: tries[name]} if tries.get(name) else {}
            for one in derivation.inputs:
                before[name] |= before[one.name]
            fetch, guest = self._fetch(name, tries.get(name, 0)), self._guest_node(derivation)
            if guest is not None:
                nodes[guest.key] = guest
            if fetch is not None:
                nodes[fetch.key] = fetch
            for copy in range(self._materials.copies):
                key = self._key(name, copy, before[name])
                tasks[key] = Task(name=name, copy=copy)
                nodes[key] = self._build_node(derivation, key, keys, fetch, guest, workers(name, copy))
                keys.setdefault(name, key)
        every = nodes.values() if stated else (replace(node, resources={}) for node in nodes.values())
        return list(every), tasks

    def resources(self) -> tuple[Mapping[str, float], ...]:
        """Give what the builds take of a worker, each."""
        return tuple(self._resources(derivation) for derivation in self._wanted.values())

    def _resources(self, derivation: Derivation) -> Mapping[str, float]:
        return needs(
            derivation.system,
            derivation.needs.memory,
            sandboxed=isinstance(derivation.action, GuestRun),
            kind=self._materials.kind,
        )

    def _key(self, name: str, copy: int, tried: Mapping[str, int]) -> str:
        """Name a task so that everybody who wants the same thing names it so.

        The name of the derivation stands in the topic of its events. Dask makes of keys that begin alike one group, of
        which it holds back what no worker has room for yet, so that what is urgent overtakes what came before.
        """
        key = f"build-{self._materials.plan.planned[name]}"
        if self._materials.copies > 1:
            key += f"-copy{copy + 1}"
        return f"{key}-{digest(dict(tried))[:12]}" if tried else key

    def _build_node(
        self,
        derivation: Derivation,
        key: str,
        keys: Mapping[str, str],
        fetch: Node | None,
        guest: Node | None,
        workers: tuple[str, ...],
    ) -> Node:
        inputs = {one.name: keys[one.name] for one in derivation.inputs}
        order = BuildOrder(
            derivation=derivation,
            planned=self._materials.plan.planned[derivation.name],
            inputs=inputs,
            files=self._files(derivation),
            guest=guest.key if guest is not None else None,
            sources=self._order(derivation.name),
            anew=self._materials.copies > 1,
        )
        others = tuple(node.key for node in (guest, fetch) if node is not None)
        return Node(
            key=key,
            payload=pack(order),
            inputs=(*dict.fromkeys(inputs.values()), *others),
            resources=self._resources(derivation),
            priority=self._materials.priorities.get(derivation.name, 0.0),
            workers=workers,
        )

    def _make_order(self, name: str) -> FetchOrder:
        materials = self._materials
        pins = tuple(
            {source.key: materials.pins[source.key] for source in self._wanted[name].sources}.values()
        )
        return FetchOrder(
            name=name,
            planned=materials.plan.planned[name],
            pins=pins,
            snapshots=materials.snapshots,
            keys=materials.keys,
            folders={
                pin.tree: pack_folder(materials.folder(pin)) for pin in pins if isinstance(pin, LockedPath)
            },
        )

    def _make_fetch(self, name: str, tried: int) -> Node | None:
        order = self._order(name)
        # What came with the order need not be fetched.
        if all(isinstance(pin, LockedPath) for pin in order.pins):
            return None
        return Node(
            key=f"fetch-{order.planned}" + (f"-{tried}" if tried else ""),
            payload=pack(order),
            resources={versions(): 1.0},
            priority=self._materials.priorities.get(name, 0.0),
        )

    def _guest_node(self, derivation: Derivation) -> Node | None:
        if not isinstance(derivation.action, GuestRun):
            return None
        return self._guest(derivation.action.guest)

    def _guest(self, files: tuple[GuestFile, ...]) -> Node:
        order = GuestOrder(files={file.name: self._file(self._materials.guest / file.name) for file in files})
        payload = pack(order)
        return Node(
            key=f"guest-{hashlib.sha256(payload).hexdigest()}", payload=payload, resources={versions(): 1.0}
        )

    def _files(self, derivation: Derivation) -> dict[str, bytes]:
        paths = [f"patches/{patch.path}" for patch in derivation.patches]
        paths += [file.path for file in derivation.data]
        return {path: self._file(self._materials.repository / path) for path in paths}
