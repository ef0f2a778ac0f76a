"""What came of a plan in the hands of a cluster, and what of it counts.

Dask knows what was done; whether it counts is judged here. A result that does not count is to be done by another
worker, and the first one gets no more work of this plan; if the second one says the same, the build is at fault.
"""

from __future__ import annotations

import zlib
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Final

from layerlock.cache.entry import Entry
from layerlock.cluster.compose import Task
from layerlock.cluster.judge import judge
from layerlock.cluster.orders import Made
from layerlock.cluster.request import Request
from layerlock.errors import LayerlockError, NotReproducible, NoWorker
from layerlock.events import Noted, Warned
from layerlock.model.derivation import Derivation

_MOST_TRIES: Final = 6
"""Times that a derivation is asked for anew, whatever the reasons."""


@dataclass(slots=True)
class Results:
    """The results of one request.

    `there` gives the addresses of the workers that are there. `accepted` are the entries that count, by name; `tries`
    says how often a derivation was asked for anew, and `barred` are the workers that get no more work.
    """

    request: Request
    there: Callable[[], Collection[str]]
    accepted: dict[str, Entry] = field(default_factory=dict)
    tries: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    barred: set[str] = field(default_factory=set)
    _places: Mapping[str, int] = field(init=False)
    _made: dict[str, dict[int, Made]] = field(default_factory=lambda: defaultdict(dict))
    _wrong: dict[str, list[Made]] = field(default_factory=lambda: defaultdict(list))

    def __post_init__(self) -> None:
        self._places = {each.name: place for place, each in enumerate(self.request.plan.derivations)}

    def derivation(self, name: str) -> Derivation:
        """Give a derivation of the plan."""
        return self.request.plan.derivations[self._places[name]]

    def standing(self, name: str) -> bool:
        """Say whether everything that a derivation is made from counts."""
        return all(one.name in self.accepted for one in self.derivation(name).inputs)

    def add(self, task: Task, made: Made) -> None:
        """Take in what a task gave, to be judged."""
        self._made[task.name][task.copy] = made

    def judge(self) -> bool:
        """Judge what can be judged, inputs before what was made from them; say whether something is to be done anew.

        Raises:
            LayerlockError: something does not count, and nobody else can be asked.
        """
        for name in sorted(self._made.keys() - self.accepted.keys(), key=self._places.__getitem__):
            made = self._made[name]
            if len(made) < self.request.materials.copies or not self.standing(name):
                continue
            if self._judge(name, list(made.values())):
                return True
        return False

    def forget(self) -> None:
        """Forget what does not count: it is handed over again, and comes again."""
        self._made = defaultdict(dict, {name: self._made[name] for name in self.accepted})

    def again(self, name: str, why: str, error: LayerlockError | None = None) -> None:
        """Have a derivation done anew.

        Raises:
            LayerlockError: `error`, or NoWorker, where that was tried often enough.
        """
        self.tries[name] += 1
        if self.tries[name] > _MOST_TRIES:
            raise error or NoWorker(f"{name} was given to workers {_MOST_TRIES} times in vain: {why}")
        self.request.emit(Warned(name=name, message=f"{why}; it is handed over anew"))

    def _judge(self, name: str, made: list[Made]) -> bool:
        derivation = self.derivation(name)
        inputs = {one.name: self.accepted[one.name].output for one in derivation.inputs}
        planned, recorded = self.request.plan.planned[name], self.request.recorded.get(name)
        first = made[0]
        for other in made[1:]:
            if other.entry.output != first.entry.output:
                raise NotReproducible(
                    f"{name} is {first.entry.output} on {first.called} and {other.entry.output} on {other.called}"
                    + (f"; the lock records {recorded}" if recorded else ""),
                    hint="the build depends on something that is not pinned: `layerlock check` finds out on what",
                )
        for one in made:
            error = judge(one.entry, derivation, planned, inputs, recorded, self.request.trust, one.called)
            if error is not None:
                self._refuse(name, one, error)
                return True
        self.accepted[name] = first.entry
        self._keep(planned, first)
        self.request.emit(
            Noted(name=name, message=f"{first.entry.output} from {' and '.join(one.called for one in made)}")
        )
        return False

    def _refuse(self, name: str, made: Made, error: LayerlockError) -> None:
        """Have somebody else do what does not count, or give up.

        Raises:
            LayerlockError: nobody else is there, or somebody else said the same.
        """
        earlier = self._wrong[name]
        if any(one.entry.output == made.entry.output for one in earlier):
            error.message += f"; {' and '.join(one.called for one in earlier)} made the same of it"
            raise error
        earlier.append(made)
        self.barred.add(made.worker)
        if not set(self.there()) - self.barred or self.tries[name] >= _MOST_TRIES:
            raise error
        self.tries[name] += 1
        message = (
            f"{error.message}; another worker builds it, and {made.called} gets no more work of this plan"
        )
        self.request.emit(Warned(name=name, message=message))

    def _keep(self, planned: str, made: Made) -> None:
        """Keep the log of a build, and what it took: on machines that are not this one."""
        if made.log:
            with suppress(OSError, zlib.error):
                self.request.log(planned).write_bytes(zlib.decompress(made.log))
        if made.took is not None and made.took.planned == planned:
            self.request.note(replace(made.took, processors=0))
