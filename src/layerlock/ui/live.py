"""Progress as a live display: what runs now at the bottom of the terminal, what is done scrolling above it.

Log lines, names and reasons come from builds and servers, so they are hostile: each goes through `printable`
and into a `Text`, which rich does not look for markup in.
"""

from __future__ import annotations

import copy
from threading import Lock
from typing import TYPE_CHECKING

from rich.console import Console, Group
from rich.live import Live as RichLive
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from layerlock.ui.board import Board, Download, Running
from layerlock.ui.lines import Importance, describe
from layerlock.ui.text import duration, last_line, names, printable, size

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from rich.console import RenderableType

    from layerlock.events import Event

REFRESHES = 8
"""Pictures a second."""

BAR = 24
"""Cells of a progress bar."""

_STYLES: dict[Importance, str] = {
    "ahead": "cyan",
    "start": "",
    "step": "dim",
    "done": "green",
    "trouble": "yellow",
    "log": "dim",
}


class Live:
    """A listener with a display that lasts from `__enter__` to `__exit__`; several threads may call it.

    `clock` gives seconds that only grow. Where `refreshing` is false, pictures are drawn by `refresh` alone.
    """

    def __init__(
        self,
        console: Console,
        clock: Callable[[], float],
        *,
        verbose: bool = False,
        refreshing: bool = True,
    ) -> None:
        """Draw on `console`."""
        self._console = console
        self._clock = clock
        self._hidden = frozenset({"start", "log"}) if verbose else frozenset({"start", "log", "step"})
        self._board = Board()
        self._began = clock()
        # Drawing takes rich's lock and then this one, so nothing of rich is called while this one is held.
        self._lock = Lock()
        self._live = RichLive(
            console=console,
            auto_refresh=refreshing,
            refresh_per_second=REFRESHES,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
            get_renderable=self.picture,
        )

    def __enter__(self) -> Live:
        """Begin to draw."""
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Remove the display; the lines above it stay."""
        self._live.stop()

    def __call__(self, event: Event) -> None:
        """Take in an event, and print its line where it is one to stay."""
        with self._lock:
            self._board.apply(event, self._clock())
        line = describe(event)
        if line is None or line.importance in self._hidden:
            return
        text = Text(f"{line.word:<8} ", style=_STYLES[line.importance])
        text.append(line.text, style="default")
        self._console.print(text, soft_wrap=True)

    def refresh(self) -> None:
        """Draw a picture now."""
        self._live.refresh()

    def picture(self) -> RenderableType:
        """Give what is shown at this moment, in no more lines than the terminal has."""
        with self._lock:
            board = copy.deepcopy(self._board)
        now = self._clock()
        room = max(3, self._console.height - 2)
        parts: list[RenderableType] = []
        shown = [*board.builds.values()][: max(1, (room - 2) // 2)]
        for build in shown:
            parts += _build(build, now)
        room -= len(parts) + 2
        downloads = [*board.downloads.values()]
        if downloads:
            fitting = downloads if len(downloads) <= room else downloads[: max(1, room - 1)]
            parts.append(_downloads(fitting, now, wide=self._console.width >= 70))
            if len(fitting) < len(downloads):
                parts.append(_one(f"fetch    and {len(downloads) - len(fitting)} more", "dim"))
        parts += [_one(line, "dim") for line in _summary(board, now - self._began)]
        return Group(*parts)


def _build(build: Running, now: float) -> list[RenderableType]:
    line = Text("build    ", style="cyan", no_wrap=True, overflow="ellipsis")
    line.append(printable(build.name), style="bold")
    line.append(f"  {duration(now - build.started)}", style="default")
    line.append(f"  {printable(build.step)}", style="dim")
    return [line, _one(f"         {last_line(build.line)}", "dim")] if build.line else [line]


def _downloads(downloads: list[Download], now: float, *, wide: bool) -> Table:
    grid = Table.grid(padding=(0, 1))
    grid.add_column(no_wrap=True, width=8)
    grid.add_column(no_wrap=True, overflow="ellipsis", ratio=1)
    if wide:
        grid.add_column(no_wrap=True, width=BAR)
    grid.add_column(no_wrap=True, justify="right")
    grid.add_column(no_wrap=True, justify="right")
    for download in downloads:
        total = download.size
        amount = size(download.done) + (f" of {size(total)}" if total is not None else "")
        rate = download.rate(now)
        cells: list[RenderableType] = [
            Text("fetch", style="cyan"),
            Text(printable(download.name), style="bold"),
        ]
        if wide:
            known = total is not None and total > 0
            bar = ProgressBar(
                total=total if known else None,
                completed=download.done,
                width=BAR,
                pulse=not known,
                animation_time=now,
            )
            cells.append(bar)
        pace = "waiting" if download.stalled(now) else f"{size(int(rate))}/s" if rate else ""
        cells += [Text(amount), Text(pace, style="dim")]
        grid.add_row(*cells)
    return grid


def _summary(board: Board, seconds: float) -> list[str]:
    """Give what is done of all that is to do, and what is still to come."""
    parts = []
    if board.to_fetch or board.fetched:
        # The sandbox program and submodules are fetched beside what a plan counts.
        planned = board.fetched <= board.to_fetch
        total = f" of {board.to_fetch}" if planned else ""
        arrived = size(board.bytes_so_far())
        of_bytes = f" of {size(board.fetch_bytes)}" if planned and board.fetch_bytes else ""
        parts.append(f"fetched {board.fetched}{total} ({arrived}{of_bytes})")
    if board.to_build:
        parts.append(f"built {board.built} of {board.to_build}")
    if board.waiting:
        parts.append(f"{len(board.waiting)} to come")
    made = [", ".join([duration(seconds), *parts])] if parts else []
    if board.waiting:
        made.append(f"to come  {names([printable(name) for name in board.waiting], 8)}")
    return made


def _one(text: str, style: str) -> Text:
    return Text(text, style=style, no_wrap=True, overflow="ellipsis")
