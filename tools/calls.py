"""Calling the driver as anyone may: `layerlock ... --json`, one event a line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
LAYERLOCK = Path(sys.executable).with_name("layerlock")

Event = dict[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class Called:
    """What a call told, event by event."""

    events: tuple[Event, ...]

    @property
    def result(self) -> Event:
        """The call's result."""
        return self.of("Result")[-1]

    def of(self, kind: str) -> list[Event]:
        """Give the events of a kind."""
        return [event for event in self.events if event["event"] == kind]


def call(
    *arguments: str,
    events: Path | None = None,
    failing: bool = False,
    command: Sequence[str] = (str(LAYERLOCK),),
    folder: Path | None = None,
    variables: Mapping[str, str] | None = None,
) -> Called:
    """Call the driver, and keep its events in the file `events` if there is one; what it tells people goes through.

    `command` starts it, in `folder` and with `variables` where they are given. With `failing` its events are given
    where it failed, too.

    Raises:
        SystemExit: it failed, with its own exit code.
    """
    words = [*command, *arguments, "--json"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True, cwd=folder, env=variables) as process:
        assert process.stdout is not None
        lines = []
        for line in process.stdout:
            event = json.loads(line)
            if event["event"] in ("BuildStarted", "BuildFinished"):
                print(f"  {event['time']} {event['event']} {event['name']}", file=sys.stderr)
            if event["event"] not in ("BuildLine", "FetchProgressed"):
                lines.append(event)
    if events is not None:
        events.write_text("".join(json.dumps(event) + "\n" for event in lines))
    if process.returncode and not failing:
        sys.exit(process.returncode)
    return Called(events=tuple(lines))


def read_events(path: Path) -> Called:
    """Read events that an earlier call left."""
    return Called(events=tuple(json.loads(line) for line in path.read_text().splitlines()))


def megabytes(size: int) -> str:
    """Write a size in MB of a million bytes, one decimal."""
    return f"{size / 1e6:.1f}"


def table(*rows: tuple[str, ...]) -> str:
    """Write a table in Markdown; the first row is its head."""
    head, *body = rows
    lines = [head, tuple("---" for _ in head), *body]
    return "\n".join(f"| {' | '.join(row)} |" for row in lines) + "\n"


def this_machine() -> str:
    """Say what a measurement was made on, without naming it."""
    cpu = next(
        (
            line.split(":", 1)[1].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if "model name" in line
        ),
        "an unknown processor",
    )
    release = dict(
        line.split("=", 1) for line in Path("/etc/os-release").read_text().splitlines() if "=" in line
    ).get("PRETTY_NAME", "Linux")
    return f"{len(os.sched_getaffinity(0))} cores of {cpu}, {release.strip(chr(34))}"
