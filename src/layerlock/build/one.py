"""Realising one derivation whose inputs and sources are there."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from layerlock.build.failures import blamed, failure
from layerlock.build.stage import stage
from layerlock.build.transforms import perform
from layerlock.build.workshop import Workshop
from layerlock.errors import LayerlockError
from layerlock.events import (
    BuildFailedEvent,
    BuildFinished,
    BuildLine,
    BuildReused,
    BuildStarted,
    BuildStep,
    Waiting,
    once,
)
from layerlock.model.derivation import Derivation, GuestRun, Realisation, Transform
from layerlock.sandbox.harvest import harvest
from layerlock.sandbox.spec import Outcome
from layerlock.store.keep import Keep
from layerlock.store.local import LocalStore
from layerlock.store.sound import sound_file, sound_tree


class Cancelled(LayerlockError):
    """A build was ended because another one failed, or by the user."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Order:
    """A derivation to realise: its planned hash, and the realisations of its inputs by name."""

    derivation: Derivation
    planned: str
    inputs: Mapping[str, Realisation]

    @property
    def resolved(self) -> str:
        """The resolved hash: the derivation with its inputs named by their outputs."""
        return self.derivation.hash({name: made.output for name, made in self.inputs.items()})


def reuse(order: Order, workshop: Workshop) -> Realisation | None:
    """Find an output for the resolved hash, made by an earlier build that looked the same: early cutoff."""
    found = workshop.store.realisation(order.resolved)
    if found is None:
        return None
    # Held first and looked up then: a collection that runs just now cannot take it away in between.
    workshop.store.hold(Keep(trees=frozenset({found.output}), realisations=frozenset({order.resolved})))
    if workshop.store.tree(found.output) is None:
        return None
    made = Realisation(
        name=order.derivation.name,
        planned=order.planned,
        resolved=order.resolved,
        output=found.output,
        size=found.size,
    )
    workshop.store.register(made)
    workshop.emit(
        BuildReused(
            name=order.derivation.name, planned=order.planned, resolved=order.resolved, output=found.output
        )
    )
    return made


def realise(order: Order, workshop: Workshop, sources: Mapping[str, Path]) -> Realisation:
    """Build a derivation and register its output, or take what another driver on the store makes of it meanwhile.

    Raises:
        LayerlockError: the build failed; the store holds nothing of it but the log.
    """
    told = once(workshop.emit, Waiting(name=order.derivation.name, doing="builds"))

    def waiting() -> None:
        if workshop.cancel.is_set():
            raise Cancelled(f"the wait for {order.derivation.name} was cancelled")
        told()

    with workshop.store.alone(order.resolved, waiting):
        return reuse(order, workshop) or build(order, workshop, sources)


def build(order: Order, workshop: Workshop, sources: Mapping[str, Path]) -> Realisation:
    """Build a derivation, whatever the store has of it already, and register its output.

    Raises:
        LayerlockError: the build failed; the store holds nothing of it but the log.
    """
    derivation, store = order.derivation, workshop.store
    resolved = order.resolved
    log = store.log_path(order.planned)
    started = time.monotonic()
    workshop.emit(BuildStarted(name=derivation.name, planned=order.planned, resolved=resolved, log=str(log)))
    outcome: Outcome | None = None
    try:
        inputs = {name: sound_tree(store, made.output) for name, made in order.inputs.items()}
        _look_at_sources(derivation, store)
        with store.scratch(derivation.name, aside=True) as folder:
            result = folder / "result"
            match derivation.action:
                case Transform() as transform:
                    _step(workshop, derivation, transform.name)
                    result.mkdir()
                    perform(derivation, transform, inputs, sources, result)
                case GuestRun() as run:
                    _step(workshop, derivation, "unpack")
                    staged = stage(derivation, run, workshop, inputs, sources, folder)
                    _step(workshop, derivation, "run")
                    outcome = workshop.sandbox.run(
                        staged.spec,
                        log=log,
                        on_line=lambda line: workshop.emit(BuildLine(name=derivation.name, line=line)),
                        cancel=workshop.cancel,
                    )
                    if outcome.cancelled:
                        raise Cancelled(f"the build of {derivation.name} was cancelled")
                    wrong = failure(derivation, outcome, log, staged.build, jobs=staged.jobs)
                    if wrong is not None:
                        if workshop.keep_failed:
                            kept = store.keep_failed(folder, derivation.name)
                            wrong.hint += f"; its folders are kept in {kept}"
                        raise blamed(wrong, store.root)
                    _step(workshop, derivation, "store")
                    harvest(staged.out, result, max_bytes=derivation.needs.output_bytes)
            # What the driver makes are whole roots, of ten thousand files, before there is much else to write.
            whole = isinstance(derivation.action, Transform)
            tree = store.add_tree(result, derivation.name, many=whole)
            if whole:
                store.settle()
    except LayerlockError as error:
        workshop.emit(BuildFailedEvent(name=derivation.name, reason=error.message, log=str(log)))
        raise
    made = Realisation(
        name=derivation.name, planned=order.planned, resolved=resolved, output=tree.sri, size=tree.size
    )
    store.register(made)
    workshop.emit(
        BuildFinished(
            name=derivation.name,
            planned=order.planned,
            resolved=resolved,
            output=tree.sri,
            size=tree.size,
            seconds=time.monotonic() - started,
            command_seconds=outcome.seconds if outcome else 0.0,
            peak_memory=outcome.peak_memory if outcome else 0,
        )
    )
    return made


def _look_at_sources(derivation: Derivation, store: LocalStore) -> None:
    """Look at what is about to be used: bytes that changed in the store must not reach an output."""
    for source in derivation.sources:
        if source.identity.startswith("sha256:"):
            sound_file(store, source.identity.removeprefix("sha256:"))
        else:
            sound_tree(store, source.identity)


def _step(workshop: Workshop, derivation: Derivation, step: str) -> None:
    workshop.emit(BuildStep(name=derivation.name, step=step))
