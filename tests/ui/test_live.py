"""The live display, driven by a scripted run on a console that writes into a buffer."""

from __future__ import annotations

import io
import re
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from rich.console import Console

from layerlock.events import BuildLine, BuildStarted, FetchFinished, FetchProgressed, FetchStarted, PlanMade
from layerlock.ui.live import Live
from tests.ui.screen import screen_after
from tests.ui.script import HOSTILE, P, R, events
from tests.ui.snapshots import check_snapshot


class Stage:
    """A display with a clock that is set by hand."""

    def __init__(self, *, width: int = 100, height: int = 24, verbose: bool = False) -> None:
        self.now = 0.0
        self.stream = io.StringIO()
        console = Console(
            file=self.stream, force_terminal=True, color_system=None, width=width, height=height, _environ={}
        )
        self.live = Live(console, lambda: self.now, verbose=verbose, refreshing=False)
        self._size = (width, height)

    def play(self, until: float) -> None:
        for moment, event in events():
            if moment <= until:
                self.now = moment
                self.live(event)
        self.now = until

    def picture(self) -> str:
        """Give what is shown, without the sequences that move the cursor."""
        width, height = self._size
        stream = io.StringIO()
        console = Console(
            file=stream, force_terminal=False, width=width, height=height, _environ={}, legacy_windows=False
        )
        console.print(self.live.picture())
        return "\n".join(line.rstrip() for line in stream.getvalue().rstrip("\n").split("\n"))


@pytest.mark.parametrize("moment", [1.5, 6.5, 60.0, 137.0])
def test_pictures(moment: float) -> None:
    stage = Stage()
    with stage.live:
        stage.play(moment)
        check_snapshot(f"live-{moment:g}s", stage.picture())


def test_lines_that_are_done_stay_above() -> None:
    stage = Stage()
    with stage.live:
        stage.play(1000.0)
        stage.live.refresh()
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", stage.stream.getvalue()).replace("\r", "")
    for line in (
        "fetched  bullseye/bash (1.4 MB in 0.1 s)",
        "reused   python",
        "built    numpy (23.1 MB in 2 min",
    ):
        assert line in text
    assert "warning  cv: the prune rule `stubs` matches nothing second line" in text
    assert "failed   scipy: the build of scipy ended with status 1" in text
    assert "secret" not in text


def test_nothing_of_the_display_stays() -> None:
    stage = Stage()
    with stage.live:
        stage.play(60.0)
        stage.live.refresh()
    assert "build    numpy" in stage.stream.getvalue()
    written = stage.stream.getvalue()
    assert written.rindex("\x1b[?25h") > written.rindex("\x1b[?25l")  # the cursor is shown again
    screen = screen_after(stage.stream.getvalue())
    assert [line.partition(" ")[0] for line in screen] == [
        "plan",
        "fetched",
        "retry",
        "reused",
        "fetched",
        "",
    ]


def test_hostile_text_reaches_the_terminal_as_text_alone() -> None:
    stage = Stage(width=200, verbose=True)
    with stage.live:
        stage.play(6.5)
        stage.live.refresh()
        picture = stage.picture()
    assert "[ 51%] linking [bold red]markup[/] [link=x]l[/link] :bomb:gnp.exe tab line" in picture
    sequences = set(re.findall(r"\x1b[^a-zA-Z]*[a-zA-Z]", stage.stream.getvalue()))
    # Hide and show the cursor, erase a line, go up: what the display itself does.
    assert {re.sub(r"\d+", "", sequence) for sequence in sequences} <= {
        "\x1b[?l",
        "\x1b[?h",
        "\x1b[K",
        "\x1b[A",
    }
    rest = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", stage.stream.getvalue())
    assert all(line.isprintable() for line in rest.replace("\r", "").split("\n"))


@pytest.mark.parametrize(("width", "height"), [(100, 24), (60, 8), (40, 6), (20, 6)])
def test_the_picture_fits_the_terminal(width: int, height: int) -> None:
    stage = Stage(width=width, height=height)
    with stage.live:
        names = tuple(f"package-{n:02}" for n in range(40))
        stage.live(PlanMade(name="x", derivations=names, to_build=names, to_fetch=40, fetch_bytes=10**9))
        for n in range(12):
            stage.live(FetchStarted(name=f"source-{n:02}", url="https://h.example/x", size=10**7))
            stage.live(FetchProgressed(name=f"source-{n:02}", done=10**6 * n, size=10**7))
        for name in names[:4]:
            stage.live(BuildStarted(name=name, planned=P, resolved=R, log=""))
            stage.live(BuildLine(name=name, line="世界" * 200))
        stage.now = 2.0
        lines = stage.picture().split("\n")
    assert len(lines) <= height
    assert all(len(line) <= width for line in lines)


def test_events_of_many_threads_while_it_draws() -> None:
    stage = Stage()
    stop = threading.Event()

    def draw() -> None:
        while not stop.wait(0.005):
            stage.live.refresh()

    def work(number: int) -> None:
        name = f"source-{number}"
        stage.live(FetchStarted(name=name, url="https://h.example/x", size=100))
        for done in range(50):
            stage.live(FetchProgressed(name=name, done=done, size=100))
            stage.live(BuildLine(name=name, line=HOSTILE))
        stage.live(FetchFinished(name=name, size=100, seconds=1.0))

    with stage.live:
        drawing = threading.Thread(target=draw)
        drawing.start()
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(work, range(24), timeout=60))
        stop.set()
        drawing.join(timeout=30)
        assert not drawing.is_alive()
    assert stage.stream.getvalue().count("fetched  source-") == 24
