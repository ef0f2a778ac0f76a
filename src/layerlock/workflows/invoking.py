"""Invoking a function where it is developed: through AWS's emulator, in the sandbox, with its layers in place."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from layerlock.build.failures import failure
from layerlock.errors import InvocationFailed, UsageError
from layerlock.events import BuildLine
from layerlock.layer.steadiness import Sample
from layerlock.model.derivation import GuestRun, Needs
from layerlock.model.function import FunctionLayer
from layerlock.plan.functions import invocation
from layerlock.sandbox.harvest import harvest
from layerlock.workflows.building import realise_targets
from layerlock.workflows.driver import Driver
from layerlock.workflows.keeping import kept
from layerlock.workflows.planning import load_layer, recorded

MOST = 6_291_556
"""Bytes of an event that Lambda takes when it is invoked and waited for."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Invoked:
    """What came of invocations: the answer to each event, what the function printed at first, and measurements."""

    answers: tuple[Any, ...]
    log: str
    samples: tuple[Sample, ...]


def invoke(driver: Driver, name: str, events: tuple[Any, ...], times: int, seconds: int) -> Invoked:
    """Build what is missing of a function, and send it events in turn, `times` in all, each for at most `seconds`.

    Raises:
        UsageError: there is no such function, or an event is larger than Lambda takes.
        InvocationFailed: it gave no answer, another one than to the same event before, or raised an exception.
        LayerlockError: a fetch or a build failed.
    """
    from layerlock.build.stage import stage  # noqa: PLC0415 - brings every kind of archive in

    lock, plan, pins = load_layer(driver, name)
    recipe = driver.repository.layer(name)
    if not isinstance(recipe, FunctionLayer):
        raise UsageError(f"`{name}` is a layer; only functions are invoked")
    for event in events:
        size = len(json.dumps(event).encode())
        if size > MOST:
            raise UsageError(f"the event has {size:,} bytes; Lambda takes {MOST:,} when it is waited for")
    told: dict[str, Any] = {"events": list(events), "times": times, "timeout": seconds}
    derivation = replace(
        invocation(recipe, driver.repository, driver.guest_code, told),
        needs=Needs(memory=3 << 30, seconds=max(3600, 2 * seconds)),
    )
    run = derivation.action
    assert isinstance(run, GuestRun)  # noqa: S101 - made so
    needed = tuple(item.name for item in derivation.inputs)
    with kept(driver, lock), driver.store.scratch(derivation.name) as scratch:
        made = realise_targets(driver, plan, needed, pins, recorded(lock))
        inputs = {item: driver.store.held_tree(made[item].output) for item in needed}
        staged = stage(derivation, run, driver.workshop, inputs, {}, scratch)
        log = scratch / "log"
        outcome = driver.sandbox.run(
            staged.spec,
            log=log,
            on_line=lambda line: driver.emit(BuildLine(name=derivation.name, line=line)),
            cancel=driver.cancel,
        )
        wrong = failure(derivation, outcome, log, staged.build, jobs=staged.jobs)
        if wrong is not None:
            raise wrong
        harvest(staged.out, scratch / "result", max_bytes=derivation.needs.output_bytes)
        report = json.loads((scratch / "result" / "report.json").read_bytes())
    for answer in report["answers"]:
        _check(name, answer)
    return Invoked(
        answers=tuple(report["answers"]),
        log=str(report["log"]),
        samples=tuple(
            Sample(invocation=row["invocation"], seconds=row["seconds"], resident=row["resident"])
            for row in report["samples"]
        ),
    )


def _check(name: str, answer: Any) -> None:
    """Refuse what Lambda's client answers for a function that raised."""
    if isinstance(answer, Mapping) and {"errorMessage", "errorType"} <= answer.keys():
        raise InvocationFailed(
            f"{name} raised {answer['errorType']}: {answer['errorMessage']}",
            hint="what a client should be told is returned, not raised",
        )
