"""Examining this machine: checks side by side, each bounded in time, with a remedy for what is wrong."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from layerlock.errors import LayerlockError

Standing = Literal["ok", "warning", "problem"]
"""A problem keeps something from working; a warning may, or makes it work less well."""

Sandboxes = Literal["auto", "bwrap", "docker"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """What a check found, and what to do about it; the remedy is empty where all is well."""

    standing: Standing
    said: str
    remedy: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Check:
    """A check: what it is called, what looks, and the seconds after which it is given up.

    Without what is `needed` no build can run. What is raised by `look` counts as a problem, with `remedy` where the
    error has none of its own.
    """

    name: str
    look: Callable[[], Found]
    remedy: str = "see what is wrong with what the message names"
    seconds: float = 30.0
    needed: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Examined:
    """A check with what came of it."""

    name: str
    found: Found
    needed: bool

    @property
    def stops_builds(self) -> bool:
        """Whether no build can run because of this."""
        return self.needed and self.found.standing == "problem"


def ok(said: str) -> Found:
    """Say that all is well."""
    return Found(standing="ok", said=said)


def warning(said: str, remedy: str) -> Found:
    """Say that something is less than well."""
    return Found(standing="warning", said=said, remedy=remedy)


def problem(said: str, remedy: str) -> Found:
    """Say that something does not work."""
    return Found(standing="problem", said=said, remedy=remedy)


def examine(checks: Sequence[Check]) -> tuple[Examined, ...]:
    """Run all checks at once, and give what came of them, in their order.

    A check that is not done in its time is left behind in its thread, which does not keep the process alive.
    """
    results: dict[int, Found] = {}

    def work(index: int, check: Check) -> None:
        results[index] = _looked(check)

    began = time.monotonic()
    threads = [
        threading.Thread(target=work, args=each, name=each[1].name, daemon=True) for each in enumerate(checks)
    ]
    for thread in threads:
        thread.start()
    for thread, check in zip(threads, checks, strict=True):
        thread.join(max(0.0, began + check.seconds - time.monotonic()))
    late = {
        index: problem(f"no answer within {check.seconds:.0f} s", "see what holds it up, and try again")
        for index, check in enumerate(checks)
    }
    return tuple(
        Examined(name=check.name, found=results.get(index, late[index]), needed=check.needed)
        for index, check in enumerate(checks)
    )


def choose(kind: Sandboxes, examined: Sequence[Examined]) -> tuple[Examined, ...]:
    """Judge the sandboxes (`bubblewrap`, `docker`) together: one that works is enough, if it is of the right kind."""
    standing = {each.name: each.found.standing for each in examined}
    works = {name: standing.get(name, "problem") != "problem" for name in ("bubblewrap", "docker")}
    wanted = {"auto": ("bubblewrap", "docker"), "bwrap": ("bubblewrap",), "docker": ("docker",)}[kind]
    chosen = next((name for name in wanted if works[name]), None)
    return tuple(_beside(each, chosen, wanted) if each.name in works else each for each in examined)


def _beside(each: Examined, chosen: str | None, wanted: tuple[str, ...]) -> Examined:
    """Say of a sandbox whether builds depend on it."""
    if each.name == chosen or (chosen is None and each.name in wanted):
        return replace(each, needed=True)
    if each.found.standing != "problem":
        return replace(each, needed=False)
    why = f"not needed: {chosen or wanted[0]} is used"
    if each.name == "bubblewrap" and "bubblewrap" in wanted:
        # It would be the better one.
        return replace(each, needed=False, found=replace(each.found, standing="warning"))
    return replace(each, needed=False, found=ok(f"{each.found.said} ({why})"))


def _looked(check: Check) -> Found:
    try:
        return check.look()
    except LayerlockError as error:
        return problem(error.message, error.hint or check.remedy)
    except OSError as error:
        place = f": {error.filename}" if error.filename else ""
        return problem(f"{error.strerror or error}{place}", check.remedy)
