"""`layerlock rebuild`, which `check` starts as a process of its own; not for people, and in no help."""

from __future__ import annotations

import os
import platform
import socket
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from layerlock.cli.arguments import add_building
from layerlock.cli.help import Help
from layerlock.errors import UsageError

if TYPE_CHECKING:
    import argparse

    from layerlock.cli.call import Call

HELP = Help(
    about="Rebuilds what a file of orders names, whatever the store has of it. `layerlock check` starts it.",
    writes="the outputs into the store, and the answer as JSON.",
    examples=("layerlock check cv",),
    related=("check",),
)
LIBRARY_NAME = "/vary.so"
_VARIABLES = ("HOME", "LANGUAGE", "LAYERLOCK_VARIED", "LC_ALL", "SOURCE_DATE_EPOCH", "TZ")


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("orders", metavar="FILE", help="the orders")
    add_building(parser)


def run(call: Call) -> int:
    """Rebuild, and answer."""
    from layerlock.reproduce.orders import decode_orders, encode_answer  # noqa: PLC0415 - as in other verbs
    from layerlock.workflows.rebuilding import rebuild  # noqa: PLC0415 - as above

    path = call.current / call.options.orders
    try:
        orders = decode_orders(path.read_bytes())
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(f"{path} holds no orders: {error}", hint="start: layerlock check") from error
    with call.driver() as driver:
        answer = rebuild(driver, orders, seen(call))
    call.result("", encode_answer(answer))
    return 0


def seen(call: Call) -> dict[str, Any]:
    """Say what this process sees of its surroundings, by which the check knows that the variations are in force."""
    umask = os.umask(0o077)
    os.umask(umask)
    try:
        personality = int(Path("/proc/self/personality").read_text(), 16)
    except OSError:
        personality = -1
    return {
        "affinity": sorted(os.sched_getaffinity(0)),
        "clock": time.time(),
        "gid": os.getegid(),
        "host_name": socket.gethostname(),
        "jobs": call.settings.jobs,
        "kernel": platform.release(),
        "personality": personality,
        "preloaded": LIBRARY_NAME in Path("/proc/self/maps").read_text(errors="replace"),
        "python": [os.path.realpath(sys.executable), platform.python_version()],
        "store": str(call.store),
        "store_owner": call.store.stat().st_uid,
        "uid": os.geteuid(),
        "umask": umask,
        "variables": {name: call.variables.get(name, "") for name in _VARIABLES},
    }
