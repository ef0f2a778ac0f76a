"""Choosing a display for people: live on a terminal that can show it, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from threading import Lock
from typing import TYPE_CHECKING, TextIO

from layerlock.cli.surroundings import coloured

if TYPE_CHECKING:
    from layerlock.events import Event, Listener


@contextmanager
def display(stream: TextIO, variables: Mapping[str, str], *, verbose: bool) -> Iterator[Listener]:
    """Lend a display that writes to `stream`."""
    plain = bool(variables.get("LAYERLOCK_PLAIN"))
    if plain or not stream.isatty() or variables.get("TERM", "dumb") == "dumb":
        from layerlock.ui.plain import Plain  # noqa: PLC0415 - the other display may be the one

        yield Plain(stream, verbose=verbose)
        return
    with ExitStack() as stack:
        yield _Begun(stack, stream, variables, verbose=verbose)


class _Begun:
    """A live display that begins with the first event: a call with nothing to do need not load `rich`."""

    def __init__(
        self, stack: ExitStack, stream: TextIO, variables: Mapping[str, str], *, verbose: bool
    ) -> None:
        self._stack = stack
        self._stream = stream
        self._variables = variables
        self._verbose = verbose
        self._lock = Lock()
        self._live: Listener | None = None

    def __call__(self, event: Event) -> None:
        with self._lock:
            if self._live is None:
                self._live = self._begin()
        self._live(event)

    def _begin(self) -> Listener:
        from rich.console import Console  # noqa: PLC0415 - slow to load

        from layerlock.ui.live import Live  # noqa: PLC0415 - as above

        console = Console(
            file=self._stream,
            force_terminal=True,
            no_color=not coloured(self._variables, terminal=True),
            markup=False,
            highlight=False,
            emoji=False,
        )
        return self._stack.enter_context(Live(console, time.monotonic, verbose=self._verbose))
