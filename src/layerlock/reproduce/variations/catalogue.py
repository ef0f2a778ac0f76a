"""The variations there are: what each changes, what it reaches, and whether it can be had on a host."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

from layerlock.reproduce.variations.emulator import pinned
from layerlock.reproduce.variations.host import Host

Reach = Literal["driver", "builds", "both"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Variation:
    """One variation. `changes` says what is different under it.

    `reach` is `builds` where programs inside the sandbox see it, `driver` where the sandbox hides it on purpose, so
    that only the driver's own process lives with it, and `both`. `obstacle` says why a host cannot have it, or is
    empty. One that is `named` takes long: it is had only where it is asked for by name.
    """

    name: str
    changes: str
    reach: Reach
    obstacle: Callable[[Host], str]
    named: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Availability:
    """A variation on a host: `obstacle` is empty where it can be had."""

    name: str
    changes: str
    reach: Reach
    obstacle: str
    named: bool = False


def availability(host: Host) -> tuple[Availability, ...]:
    """Say of each variation whether a host can have it, in the order of the table."""
    return tuple(
        Availability(name=v.name, changes=v.changes, reach=v.reach, obstacle=v.obstacle(host), named=v.named)
        for v in VARIATIONS
    )


def ordered(names: Iterable[str]) -> tuple[str, ...]:
    """Put names into the order of the table, each once."""
    wanted = set(names)
    return tuple(name for name in NAMES if name in wanted)


def _always(host: Host) -> str:
    del host
    return ""


def _processors(host: Host) -> str:
    if host.processors < 2:
        return "there is one processor only"
    return _inherited(host)


def _inherited(host: Host) -> str:
    # An engine starts its containers itself: what this process has is not handed on to them.
    return (
        f"the processes of the sandbox `{host.sandbox}` are not the driver's"
        if host.sandbox == "docker"
        else ""
    )


def _root(host: Host) -> str:
    return "" if host.root else "the driver is not run by root"


def _user(host: Host) -> str:
    return _root(host) or host.user_obstacle


def _python(host: Host) -> str:
    return host.python_obstacle


def _proc(host: Host) -> str:
    return "" if host.machine in ("x86_64", "aarch64") else f"no /proc/cpuinfo is made up for {host.machine}"


def _instructions(host: Host) -> str:
    if host.sandbox == "docker":
        return "the emulator was never tried in the containers of the sandbox `docker`"
    return "" if pinned(host.machine) is not None else f"no emulator is pinned for {host.machine}"


def _kernel(host: Host) -> str:
    return _inherited(host)


VARIATIONS = (
    Variation(name="jobs", changes="one more process at once", reach="both", obstacle=_always),
    Variation(name="affinity", changes="one processor alone may be used", reach="both", obstacle=_processors),
    Variation(
        name="processor",
        changes="/proc/cpuinfo and /proc/stat tell of three processors of another model without AVX or SSE3",
        reach="builds",
        obstacle=_proc,
    ),
    Variation(
        name="kernel",
        changes="uname, /proc/version and /proc/sys/kernel/osrelease tell of Linux 2.6 (UNAME26)",
        reach="both",
        obstacle=_kernel,
    ),
    Variation(
        name="address-space",
        changes="addresses are not randomised (ADDR_NO_RANDOMIZE)",
        reach="both",
        obstacle=_inherited,
    ),
    Variation(
        name="clock", changes="the clock is five and a half years ahead", reach="both", obstacle=_always
    ),
    Variation(name="directory-order", changes="directories list in reverse", reach="both", obstacle=_always),
    Variation(name="host-name", changes="the driver's host has another name", reach="driver", obstacle=_root),
    Variation(
        name="user",
        changes="the driver is run by another user and group, who own its store",
        reach="driver",
        obstacle=_user,
    ),
    Variation(name="umask", changes="the driver's umask is 077", reach="driver", obstacle=_always),
    Variation(name="time-zone", changes="TZ is 14 h 45 min ahead of UTC", reach="driver", obstacle=_always),
    Variation(name="locale", changes="LC_ALL and LANGUAGE are Turkish", reach="driver", obstacle=_always),
    Variation(
        name="store-folder",
        changes="the store stands deeper, in folders with spaces and other letters than ASCII",
        reach="driver",
        obstacle=_always,
    ),
    Variation(name="home", changes="HOME is another folder", reach="driver", obstacle=_always),
    Variation(
        name="environment",
        changes="variables that compilers and build systems heed are set to misleading values",
        reach="driver",
        obstacle=_always,
    ),
    Variation(
        name="python", changes="another Python interpreter runs the driver", reach="driver", obstacle=_python
    ),
    Variation(
        name="instructions",
        changes="every dynamic program runs under an emulator, on a processor of 2006; some fifteen times slower",
        reach="builds",
        obstacle=_instructions,
        named=True,
    ),
)

NAMES = tuple(variation.name for variation in VARIATIONS)
