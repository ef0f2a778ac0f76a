"""One call of the command: its options, its surroundings, and how it tells what happens and what came out."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from layerlock.cli import surroundings

if TYPE_CHECKING:
    from layerlock.cli.settings import Settings
    from layerlock.errors import LayerlockError
    from layerlock.events import Event, Listener
    from layerlock.io.repository import Repository
    from layerlock.ui.jsonl import JsonLines
    from layerlock.ui.timeline import Timeline
    from layerlock.workflows.driver import Driver


@dataclass(frozen=True, kw_only=True)
class Call:
    """What a verb is run with. `variables` is the process's environment, `current` its folder."""

    options: argparse.Namespace
    variables: Mapping[str, str]
    current: Path
    stdout: TextIO
    stderr: TextIO

    def option(self, name: str, default: Any = None) -> Any:
        """Give an option's value; options that were not given have none."""
        return vars(self.options).get(name, default)

    @property
    def verbose(self) -> bool:
        """Whether build logs and steps are shown."""
        return bool(self.option("verbose"))

    @cached_property
    def lines(self) -> JsonLines | None:
        """The writer of JSON lines, where they were asked for."""
        if not self.option("json"):
            return None
        from datetime import UTC, datetime  # noqa: PLC0415 - for --json alone

        from layerlock.ui.jsonl import JsonLines  # noqa: PLC0415 - as above

        return JsonLines(self.stdout, lambda: datetime.now(UTC))

    @cached_property
    def root(self) -> Path:
        """The recipe repository's folder."""
        return surroundings.repository(self.option("repo"), self.current)

    @cached_property
    def settings(self) -> Settings:
        """The driver's settings."""
        return self.settings_for(self.root, self.store)

    def settings_for(self, repository: Path, store: Path) -> Settings:
        """Give the driver's settings for another repository or store."""
        from layerlock.cli.settings import Settings  # noqa: PLC0415 - not every verb needs the driver

        return Settings(
            repository=repository,
            store=store,
            environment=self.variables,
            jobs=surroundings.jobs(self.options, self.variables),
            offline=bool(self.option("offline")),
            keep_failed=bool(self.option("keep_failed")),
            archive=self.archive,
            sandbox=surroundings.sandbox(self.options, self.variables),
            caching=surroundings.caching(self.options),
            cluster=surroundings.cluster(self.options, self.variables, self.current),
        )

    @cached_property
    def store(self) -> Path:
        """The store's folder."""
        return surroundings.store(self.option("store"), self.variables, self.current)

    @property
    def archive(self) -> Path | None:
        """The archive that sources come from, where one is named."""
        named = self.option("archive")
        return self.current / named if named is not None else None

    @cached_property
    def repository(self) -> Repository:
        """The recipe repository."""
        from layerlock.io.repository import Repository  # noqa: PLC0415 - as above

        return Repository(self.root)

    @contextmanager
    def driver(self) -> Iterator[Driver]:
        """Lend a driver whose events are shown; the display is gone when the verb goes on to its result."""
        from layerlock.cli.construct import construct  # noqa: PLC0415 - as above

        with self.listening() as emit:
            yield construct(self.settings, emit)

    @cached_property
    def timeline(self) -> Timeline | None:
        """What keeps how long everything took, where it was asked for."""
        if self.option("trace") is None:
            return None
        import threading  # noqa: PLC0415 - for --trace alone
        import time  # noqa: PLC0415 - as above

        from layerlock.ui.timeline import Timeline  # noqa: PLC0415 - as above

        title = " ".join((self.options.verb, *self.option("names", ())))
        return Timeline(title, time.monotonic, lambda: threading.current_thread().name)

    @contextmanager
    def listening(self) -> Iterator[Listener]:
        """Lend a listener: JSON lines, a live display on a terminal that can show one, plain lines elsewhere."""
        from layerlock.cli.display import display  # noqa: PLC0415 - verbs without events do without it

        if self.lines is not None:
            yield self._heard(self.lines)
            return
        with display(self.stderr, self.variables, verbose=self.verbose) as emit:
            yield self._heard(emit)

    def _heard(self, emit: Listener) -> Listener:
        """Let the time line hear what a listener hears."""
        timeline = self.timeline
        if timeline is None:
            return emit

        def both(event: Event) -> None:
            timeline(event)
            emit(event)

        return both

    def result(self, text: str, fields: Mapping[str, Any]) -> None:
        """Write what came out: as text, or as the event `Result` with the same facts."""
        if self.lines is not None:
            self.lines.write("Result", {"verb": self.options.verb, **fields})
        elif text:
            self.stdout.write(text + "\n")

    def failed(self, error: LayerlockError) -> None:
        """Write the error that ended the call: for people, and as the event `Error` where JSON was asked for."""
        from layerlock.ui.text import render_error  # noqa: PLC0415 - most calls succeed

        if self.lines is not None:
            self.lines.error(error)
        colour = surroundings.coloured(self.variables, terminal=self.stderr.isatty())
        self.stderr.write(render_error(error, colour=colour) + "\n")

    def shown(self, path: Path) -> str:
        """Write a path as seen from the current folder, if it is below that."""
        return str(path.relative_to(self.current) if path.is_relative_to(self.current) else path)
