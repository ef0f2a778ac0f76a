"""An engine made ready to run sandboxes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from layerlock.errors import SandboxUnavailable
from layerlock.sandbox.docker import Engine, connect
from layerlock.sandbox.engine.image import Images
from layerlock.sandbox.engine.layout import Way
from layerlock.sandbox.engine.lifetime import sweep
from layerlock.sandbox.engine.way import Scratch, find_way
from layerlock.sandbox.program import Provide, pinned

WHOLE = ("/build", "/out", "/tmp")  # noqa: S108 - inside
"""Every writable place that a specification names."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Station:
    """An engine that can run sandboxes, its images, and the way in which it does.

    Where folders cannot be mounted, `returned` names what comes back of `/build`, `/out` and `/tmp`: places, or files
    right below them. Other writable mounts come back whole.
    """

    engine: Engine
    images: Images
    way: Way
    returned: tuple[str, ...] = WHOLE


def open_station(
    variables: Mapping[str, str],
    provide: Provide,
    scratch: Scratch,
    *,
    machine: str,
    bind: bool = True,
    returned: tuple[str, ...] = WHOLE,
) -> Station:
    """Make the engine ready that these environment variables name; first sweep what dead drivers left on it.

    `machine` is the processor that environments are for, as `uname -m` calls it. `provide` unpacks pinned packages.
    Without `bind` trees travel as streams even where they could be mounted.

    Raises:
        SandboxUnavailable: there is no such engine, or it cannot run sandboxes.
        LayerlockError: the pinned packages cannot be had.
    """
    engine = connect(variables)
    there = engine.machine()
    if there != machine:
        raise SandboxUnavailable(
            f"the docker engine at {engine.address} runs on {there}; environments here are for {machine}",
            hint=f"name an engine on {machine} with DOCKER_HOST or DOCKER_CONTEXT",
        )
    pin = pinned(machine)
    if pin is None:
        raise SandboxUnavailable(f"no sandbox program is pinned for {machine}")
    sweep(engine)
    images = Images(engine=engine, pin=pin, folder=provide((*pin.debs, *pin.shell_debs)))
    return Station(
        engine=engine,
        images=images,
        way=find_way(engine, images, scratch, bind=bind),
        returned=returned,
    )
