"""Trying out how an engine can be made to run sandboxes, from the least that may do to the most that can be asked."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

from layerlock.errors import BuildFailed, SandboxUnavailable
from layerlock.sandbox.bwrap import ISOLATION
from layerlock.sandbox.docker import Engine
from layerlock.sandbox.engine.image import Images
from layerlock.sandbox.engine.layout import GIVEN, SUPERVISOR, Bind, Container, Way
from layerlock.sandbox.engine.lifetime import running
from layerlock.sandbox.engine.trees import Sent
from layerlock.sandbox.probe import explain
from layerlock.sandbox.spec import Limits

Scratch = Callable[[str], AbstractContextManager[Path]]
"""Lends a fresh folder on the store's file system, given a name for it."""

_LIMITS = Limits(memory=256 << 20, processes=50, seconds=60.0, log_bytes=1 << 20, output_bytes=1 << 20)
_HERE = "/layerlock/mounts/0"


def find_way(engine: Engine, images: Images, scratch: Scratch, *, bind: bool = True) -> Way:
    """Give the first way that works; without `bind` the host's folders are never mounted.

    Raises:
        SandboxUnavailable: none does; says why the most capable one did not.
    """
    refusal: SandboxUnavailable | None = None
    with scratch("docker-probe") as folder:
        for way in _ways(bind=bind):
            try:
                if _works(way, engine, images, folder):
                    return way
            except BuildFailed:
                continue  # the folder that should be mounted is not there for it
            except SandboxUnavailable as error:
                refusal = error
    if refusal is None:
        refusal = SandboxUnavailable("its containers do not see this host's folders")
    raise SandboxUnavailable(
        f"the docker engine at {engine.address} cannot run sandboxes: {refusal.message}",
        hint="let it run containers with CAP_SYS_ADMIN, without seccomp and AppArmor profiles and with an unmasked "
        "/proc; bubblewrap inside of the container takes all of that away from builds",
    )


def _ways(*, bind: bool) -> Iterator[Way]:
    """Give the ways in the order of trial.

    What a build leaves has to belong to the driver. So the container's user is root where the engine's root is the
    driver: it runs as root, or has an engine of its own without root. Else it is the driver's user, whom the kernel
    has to let make namespaces. The mapping of root's id takes CAP_SETFCAP (user_namespaces(7)); CAP_SYS_ADMIN helps
    where namespaces are kept from ordinary programs, as on Ubuntu 24.04. Files in a stream belong to whom they are
    sent for.
    """
    least, most = ("SETFCAP",), ("SETFCAP", "SYS_ADMIN")
    if bind:
        yield Way(user="0:0", capabilities=least, bind=True)
        if os.geteuid() != 0:
            yield Way(user=f"{os.geteuid()}:{os.getegid()}", capabilities=(), bind=True)
        yield Way(user="0:0", capabilities=most, bind=True)
    yield Way(user="0:0", capabilities=least, bind=False)
    yield Way(user="0:0", capabilities=most, bind=False)


def _works(way: Way, engine: Engine, images: Images, folder: Path) -> bool:
    """Run bubblewrap with every isolation that builds get, over a folder that only this host has.

    It is asked to mount a file of this host, whose random name an engine elsewhere cannot know, and to make one,
    whose owner shows as whom it wrote.
    """
    name = secrets.token_hex(8)
    if way.bind:
        (folder / name).write_text("of this host\n")
    place = _HERE if way.bind else GIVEN
    # `--dir` makes a folder through the mount, on the host's side.
    words = [
        *ISOLATION,
        *("--new-session", "--uid", "1000", "--gid", "1000", "--hostname", "localhost"),
        *(
            "--ro-bind",
            "/layerlock",
            "/layerlock",
            "--proc",
            "/proc",
            "--remount-ro",
            "/proc",
            "--dev",
            "/dev",
        ),
        *(("--bind", place, "/build", "--dir", f"/build/made-{name}") if way.bind else ()),
        *(("--ro-bind", f"{place}/{name}", "/seen") if way.bind else ()),
        *("--json-status-fd", "3"),
    ]
    files = [Sent(place="run", folder=True, mode=0o755)]
    files += [Sent(place=f"run/{number}") for number in range(5)]
    files.append(Sent(place="run/arguments", contents=b"".join(word.encode() + b"\0" for word in words)))
    trial = (*images.program, "--args", "9", "--", *images.program, "--version")
    container = Container(
        image=images.bare(),
        command=(*images.shell, "-c", SUPERVISOR, "supervisor", *trial),
        way=way,
        limits=_LIMITS,
        binds=(Bind(source=folder, target=_HERE, writable=True),) if way.bind else (),
        sent=tuple(files),
        returned=(),
    )
    said, report = _tried(engine, container)
    if way.bind and "Can't find source path" in said:
        return False
    if '"exit-code": 0' not in report:
        raise explain(said)
    return not way.bind or _ours(folder / f"made-{name}")


def _tried(engine: Engine, container: Container) -> tuple[str, str]:
    said: list[bytes] = []
    report: list[str] = []
    with running(engine, container) as held:
        held.follow(said.append, report.append)
    return b"".join(said).decode(errors="replace"), "\n".join(report)


def _ours(made: Path) -> bool:
    return made.is_dir() and made.stat().st_uid == os.geteuid()
