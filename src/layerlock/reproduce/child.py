"""The driver as a child process, changed before it starts: launching it, passing on its events, ending it."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from layerlock import events
from layerlock.errors import LayerlockError
from layerlock.events import Event, Listener
from layerlock.reproduce.variations.launch import LAUNCHER, Launch, python_path

_PATIENCE = 30.0
"""Seconds that a child has to end its builds when it is asked to."""

_KINDS = {
    kind.__name__.removesuffix("Event"): kind
    for kind in vars(events).values()
    if isinstance(kind, type) and issubclass(kind, Event) and kind is not Event
}


class ChildFailed(LayerlockError):
    """The child ended without a result; it was told why, or left it on its standard error."""


def start(
    changes: Launch,
    arguments: Sequence[str],
    variables: Mapping[str, str],
    folder: Path,
    emit: Listener,
) -> Mapping[str, Any]:
    """Run the command `layerlock` with arguments in a changed process; give the fields of its result.

    Args:
        changes: what is different about the process.
        arguments: the command's, `--json` among them.
        variables: the environment that the changes are made to.
        folder: where the process starts, and where its standard error is kept.
        emit: is told the child's events.

    Raises:
        ChildFailed: it ended without a result.
    """
    python = changes.python or sys.executable
    command = [sys.executable, "-I", str(LAUNCHER), changes.encode(), python, "-m", "layerlock", *arguments]
    said = folder / "said"
    with said.open("wb") as errors:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            cwd=folder,
            env=environment(changes, variables),
        )
        try:
            assert process.stdout is not None  # noqa: S101 - it was asked for
            with process.stdout:
                ended = _carry(process.stdout, emit)
            process.wait()
        finally:
            _end(process)
    if ended.get("event") == "Result":
        return ended
    lines = said.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    why = ended.get("message") or (lines[-1] if lines else f"it ended with status {process.returncode}")
    raise ChildFailed(f"the driver that rebuilds failed: {why}", hint=str(ended.get("hint", "")))


def environment(changes: Launch, variables: Mapping[str, str]) -> dict[str, str]:
    """Give the child's variables: those that there are, with the changes, and the way to the driver."""
    kept = {name: value for name, value in variables.items() if name not in changes.unset}
    # No bytecode is written: it would land beside the driver, owned and readable as a variation has it.
    own = {"PYTHONPATH": python_path(variables), "PYTHONDONTWRITEBYTECODE": "1"}
    return {**kept, **changes.environment, **own}


def _carry(lines: Any, emit: Listener) -> Mapping[str, Any]:
    """Pass events on; give what ended the stream, a result or an error."""
    last: Mapping[str, Any] = {}
    for line in lines:
        try:
            told = json.loads(line)
            name = told["event"]
        except (ValueError, KeyError, TypeError):
            continue  # a line of something else than the driver
        if name in ("Result", "Error"):
            last = told
        elif (kind := _KINDS.get(name)) is not None:
            fields = {field.name: _frozen(told[field.name]) for field in dataclasses.fields(kind)}
            emit(kind(**fields))
    return last


def _frozen(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
