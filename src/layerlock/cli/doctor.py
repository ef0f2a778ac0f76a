"""`layerlock doctor`: what builds need of this machine, and what to do where it is missing."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from layerlock.cli.arguments import add_offline, add_sandbox
from layerlock.cli.help import Help
from layerlock.cli.surroundings import coloured, width
from layerlock.errors import CannotBuild, UsageError
from layerlock.events import silent
from layerlock.ui.text import count, style, table, wrapped

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from layerlock.cli.call import Call
    from layerlock.io.repository import Repository
    from layerlock.sandbox.program import Program
    from layerlock.workflows.examining import Check, Examined, Found

HELP = Help(
    about="Looks at what builds need of this machine: kernel, user namespaces, bubblewrap and docker, control groups, "
    "the store's disk, memory, Python, git, pip's index, Debian's archive, AWS credentials. Each is ok, a warning or a "
    "problem, with a remedy; a sandbox is really made, a file really written to the store, and a page asked of each "
    "registry. Exit code 42 says that no build can run here; everything else ends with 0.",
    writes="the sandbox's own program into the store, where it is missing.",
    examples=("layerlock doctor", "layerlock doctor --sandbox docker --json"),
    related=("build", "fetch"),
)

NETWORK = 25.0
"""Seconds that a registry may take in all."""

SANDBOX = 120.0
"""Seconds that a sandbox may take: its program may have to be fetched, or an image to be made in an engine."""

WIDTH = 110
"""Columns of the table where the terminal has no fewer."""

_COLOURS = {"ok": "32", "warning": "1;33", "problem": "1;31"}


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    add_sandbox(parser)
    add_offline(parser)


def run(call: Call) -> int:
    """Look, tell, and fail where no build can run."""
    from layerlock.cli import surroundings  # noqa: PLC0415 - usage errors are told without it
    from layerlock.workflows.examining import choose, examine  # noqa: PLC0415 - as above

    kind = surroundings.sandbox(call.options, call.variables)
    examined = choose(kind, examine(_checks(call, _repository(call))))
    stopped = [each.name for each in examined if each.stops_builds]
    call.result(
        _text(
            examined,
            columns=width(call.stdout, call.variables, WIDTH),
            colour=coloured(call.variables, terminal=call.stdout.isatty()),
        ),
        {
            "checks": [
                {
                    "name": each.name,
                    "standing": each.found.standing,
                    "found": each.found.said,
                    "remedy": each.found.remedy,
                    "stops_builds": each.stops_builds,
                }
                for each in examined
            ],
            "can_build": not stopped,
        },
    )
    if stopped:
        raise CannotBuild(
            f"no build can run here: see {' and '.join(stopped)}", hint="each has its remedy beside it"
        )
    return 0


def _repository(call: Call) -> Repository | None:
    """Give the recipe repository; a machine can be looked at before there is one."""
    try:
        return call.repository
    except UsageError:
        if call.option("repo") is not None:
            raise
        return None


def _checks(call: Call, repository: Repository | None) -> list[Check]:
    """Put the table of checks together."""
    from layerlock.cli import construct  # noqa: PLC0415 - as above
    from layerlock.cli.reach import briefly, find_program, open_engine  # noqa: PLC0415 - as above
    from layerlock.store.local import LocalStore  # noqa: PLC0415 - as above
    from layerlock.workflows import host_checks  # noqa: PLC0415 - as above
    from layerlock.workflows.examining import Check, ok  # noqa: PLC0415 - as above
    from layerlock.workflows.supplier import StoreSupplier  # noqa: PLC0415 - as above

    settings = call.settings_for(repository.root if repository is not None else call.current, call.store)
    store = LocalStore(settings.store)
    reach, suite = briefly(settings, repository)
    supplier = StoreSupplier(store, lambda: reach, silent)

    def find() -> Program:
        return find_program(store, supplier)

    def engine() -> Found:
        station = open_engine(settings, store, supplier)
        return ok(f"sandboxes work in the engine at {station.engine.address}")

    def answering() -> Found:
        from layerlock.sandbox.docker import connect  # noqa: PLC0415 - slow to load

        return ok(f"an engine answers at {connect(settings.environment, patience=5).address}")

    def unasked() -> Found:
        return ok("not asked (--offline)")

    offline = settings.offline
    return [
        Check(name="kernel", look=host_checks.kernel, needed=True),
        Check(name="namespaces", look=host_checks.namespaces),
        Check(name="bubblewrap", look=partial(host_checks.bubblewrap, find), seconds=SANDBOX),
        Check(name="docker", look=engine if settings.sandbox == "docker" else answering, seconds=SANDBOX),
        Check(name="control groups", look=host_checks.control_groups),
        Check(
            name="store",
            look=partial(host_checks.room, store),
            needed=True,
            remedy="name another folder with --store or LAYERLOCK_STORE",
        ),
        Check(name="memory", look=lambda: host_checks.memory(construct.memory(), repository)),
        Check(name="python", look=host_checks.python, needed=True),
        Check(name="git", look=partial(host_checks.git, settings.environment)),
        Check(
            name="index",
            look=unasked if offline else partial(host_checks.index, reach.origins),
            seconds=NETWORK,
        ),
        Check(
            name="debian",
            look=unasked if offline else partial(host_checks.debian, reach.origins, reach.fetcher, suite),
            seconds=NETWORK,
        ),
        Check(name="aws", look=partial(host_checks.credentials, settings.environment)),
    ]


def _text(examined: Sequence[Examined], *, columns: int, colour: bool) -> str:
    """Write the table; what is wrong stands in words, not in colour alone, and remedies follow it."""
    rows = table((each.found.standing, each.name, "") for each in examined).split("\n")
    indent = max(map(len, rows)) + 2
    room = max(20, columns - indent)
    lines = []
    for each, row in zip(examined, rows, strict=True):
        word = each.found.standing
        first, *rest = wrapped(each.found.said, room)
        lines.append(style(word, _COLOURS[word], colour) + f"{row.ljust(indent)[len(word) :]}{first}")
        lines += [" " * indent + line for line in rest]
        if each.found.remedy:
            lines += [" " * indent + line for line in wrapped(f"remedy: {each.found.remedy}", room)]
    worst = [
        count(sum(each.found.standing == kind for each in examined), kind) for kind in ("problem", "warning")
    ]
    lines += [
        "",
        "builds can run here" if not any(each.stops_builds for each in examined) else "no build can run here",
    ]
    lines[-1] += f" ({', '.join(worst)})"
    return "\n".join(lines)
