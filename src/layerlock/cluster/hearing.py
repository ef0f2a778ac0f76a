"""What a submitter hears of its plan: events of workers, told on as if they had happened here."""

from __future__ import annotations

import queue
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from layerlock.cluster.orders import TOPIC, topic
from layerlock.cluster.wire import decode_event
from layerlock.events import BuildFailedEvent, BuildStarted, Event, Listener, Noted
from layerlock.plan.resolve import Plan

if TYPE_CHECKING:
    from distributed import Client, Future


@dataclass(slots=True)
class Hearing:
    """The ends of tasks and the events of a plan, in the order in which they come; Dask's threads put them in.

    `log` gives the place of a build's log here. `begun` are the workers that began a derivation, by its name: what
    people call them, by address.
    """

    client: Client
    plan: Plan
    log: Callable[[str], Path]
    emit: Listener
    begun: dict[str, dict[str, str]] = field(default_factory=lambda: defaultdict(dict))
    happened: queue.SimpleQueue[tuple[str, Any]] = field(default_factory=queue.SimpleQueue)

    def listen(self, names: Iterable[str], *, replay: bool) -> None:
        """Hear of what happens to derivations from now on; with `replay` also of what has happened."""
        topics = {topic(name, self.plan.planned[name]): name for name in names}
        for each in (TOPIC, *topics):
            self.client.subscribe_topic(each, partial(self._heard, topics.get(each, "")))
        if replay:
            for each, messages in self._history(topics).items():
                for message in messages:
                    self._tell(topics[each], message)

    def ended(self, key: str, future: Future[Any]) -> None:
        """Take note that a task has ended."""
        del future
        self.happened.put(("ended", key))

    def batch(self, seconds: float) -> list[str]:
        """Give the keys of tasks that have ended, after some seconds at the most; tell of events meanwhile."""
        keys: dict[str, None] = {}
        try:
            what, about = self.happened.get(timeout=seconds)
            while True:
                if what == "event":
                    self._tell(*about)
                else:
                    keys[about] = None
                what, about = self.happened.get_nowait()
        except queue.Empty:
            return list(keys)

    def beginners(self, name: str) -> Mapping[str, str]:
        """Give the workers that began a derivation, those among them that nobody listened to then."""
        where = topic(name, self.plan.planned[name])
        for message in self._history([where])[where]:
            self._note(name, message)
        return self.begun[name]

    def _history(self, topics: Iterable[str]) -> dict[str, list[Mapping[str, Any]]]:
        async def ask() -> dict[str, list[Mapping[str, Any]]]:
            scheduler: Any = self.client.scheduler
            return {each: [one for _, one in await scheduler.events(topic=each)] for each in topics}

        found: dict[str, list[Mapping[str, Any]]] = self.client.sync(ask)
        return found

    def _heard(self, name: str, event: tuple[float, Mapping[str, Any]]) -> None:
        self.happened.put(("event", (name, event[1])))

    def _tell(self, name: str, message: Mapping[str, Any]) -> None:
        event = decode_event(message)
        if event is not None:
            self.emit(self._here(event))
        elif self._note(name, message):
            self.emit(Noted(name=name, message=f"on {message.get('called')}"))

    def _note(self, name: str, message: Mapping[str, Any]) -> bool:
        if "begun" not in message:
            return False
        self.begun[name][str(message.get("worker"))] = str(message.get("called"))
        return True

    def _here(self, event: Event) -> Event:
        """Name this machine's copy of a log where a worker names its own."""
        planned = self.plan.planned.get(event.name)
        if planned is not None and isinstance(event, BuildStarted | BuildFailedEvent):
            return replace(event, log=str(self.log(planned)))
        return event
