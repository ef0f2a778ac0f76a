"""A run as its events tell it, with what hostile builds and servers would put into them."""

from __future__ import annotations

from layerlock.events import (
    BuildFailedEvent,
    BuildFinished,
    BuildLine,
    BuildReused,
    BuildStarted,
    BuildStep,
    Event,
    FetchFinished,
    FetchProgressed,
    FetchRetried,
    FetchStarted,
    Noted,
    PlanMade,
    Warned,
)

HOSTILE = (
    "\x1b[2J\x1b[H\x1b]0;owned\x07\x1b]8;;https://evil.example/\x1b\\[bold red]markup[/] [link=x]l[/link] :bomb:"
    "\x9b31m\x00\x08\x7f\u202egnp.exe\u2066\u200b\ttab\u2028line\x1bP1$q\x1b\\"
)
"""Terminal sequences (clear, title, link, colour, device control), rich's markup, and marks that turn text around."""

P, R, OUT = "a" * 64, "b" * 64, "sha256-" + "A" * 43 + "="


def events() -> tuple[tuple[float, Event], ...]:
    """Give moments (seconds) and events."""
    return (
        (
            0.0,
            PlanMade(
                name="layer-cv-smoke",
                derivations=("environment-bullseye", "python", "numpy", "scipy", "layer-cv-tree"),
                to_build=("python", "numpy", "scipy", "layer-cv-tree"),
                to_fetch=3,
                fetch_bytes=60_000_000,
            ),
        ),
        (0.1, Noted(name="sandbox", message="bubblewrap (pinned)")),
        (0.2, FetchStarted(name="numpy/numpy", url="https://me:secret@files.example/n.tgz", size=10_900_000)),
        (0.2, FetchStarted(name="bullseye/bash", url="https://deb.example/bash.deb", size=1_400_000)),
        (0.3, FetchFinished(name="bullseye/bash", size=1_400_000, seconds=0.1)),
        (1.0, FetchProgressed(name="numpy/numpy", done=2_000_000, size=10_900_000)),
        (
            2.0,
            FetchRetried(
                name="numpy/numpy",
                url="https://me:secret@files.example/n.tgz",
                reason="https://me:secret@files.example/n.tgz: connection reset " + HOSTILE,
            ),
        ),
        (3.0, FetchProgressed(name="numpy/numpy", done=4_000_000, size=10_900_000)),
        (4.0, BuildReused(name="python", planned=P, resolved=R, output=OUT)),
        (4.0, BuildStarted(name="numpy", planned=P, resolved=R, log="/store/logs/a.log")),
        (4.1, BuildStep(name="numpy", step="unpack")),
        (5.0, BuildStep(name="numpy", step="run")),
        (6.0, BuildLine(name="numpy", line="[ 50%] compiling\r[ 51%] linking " + HOSTILE)),
        (7.0, FetchFinished(name="numpy/numpy", size=10_900_000, seconds=6.8)),
        (130.0, BuildLine(name="numpy", line="installing")),
        (
            134.0,
            BuildFinished(
                name="numpy",
                planned=P,
                resolved=R,
                output=OUT,
                size=23_100_000,
                seconds=130.0,
                command_seconds=128.5,
                peak_memory=812_000_000,
            ),
        ),
        (135.0, BuildStarted(name="scipy", planned=P, resolved=R, log="/store/logs/b.log")),
        (140.0, Warned(name="cv", message="the prune rule `stubs` matches nothing\nsecond line")),
        (
            150.0,
            BuildFailedEvent(
                name="scipy",
                reason="the build of scipy ended with status 1; the end of its log:\n  | " + HOSTILE,
                log="/store/logs/b.log",
            ),
        ),
    )
