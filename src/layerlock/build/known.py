"""What the store has of a plan already. It is apart from building: a build with nothing to do needs no more."""

from __future__ import annotations

from collections.abc import Mapping

from layerlock.errors import NotReproducible
from layerlock.model.derivation import Realisation
from layerlock.plan.resolve import Plan
from layerlock.store.local import LocalStore


def known(plan: Plan, store: LocalStore, recorded: Mapping[str, str]) -> dict[str, Realisation]:
    """Find the derivations whose outputs are in the store already, by planned hash.

    Raises:
        NotReproducible: an output in the store is not the one that the lock records.
    """
    found = {}
    for derivation in plan.derivations:
        made = store.planned(plan.planned[derivation.name])
        if made is not None and store.tree(made.output) is not None:
            confirm(made, recorded)
            found[derivation.name] = made
    return found


def confirm(made: Realisation, recorded: Mapping[str, str]) -> None:
    """Hold an output against the lock's record of it.

    Raises:
        NotReproducible: they differ.
    """
    expected = recorded.get(made.name)
    if expected is not None and expected != made.output:
        raise NotReproducible(
            f"the output of {made.name} is {made.output}; the lock records {expected}",
            hint="the build depends on something that is not pinned; nothing that needs this output was built",
        )
