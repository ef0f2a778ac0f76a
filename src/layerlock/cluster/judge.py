"""Whether a worker's result counts: it is what the lock records, or a key that is trusted signed it. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from layerlock.cache.entry import Entry
from layerlock.cache.keys import Trust
from layerlock.errors import LayerlockError, NotReproducible, UntrustedResult
from layerlock.model.derivation import Derivation


def judge(
    entry: Entry,
    derivation: Derivation,
    planned: str,
    inputs: Mapping[str, str],
    recorded: str | None,
    trust: Trust,
    worker: str,
) -> LayerlockError | None:
    """Say why a result does not count, as the error that it is if nobody gives a better one; None where it counts.

    `inputs` are the outputs of its inputs that count, by name; `recorded` is what the lock says of its output.
    """
    name = derivation.name
    problem = entry.fits(derivation, planned)
    if not problem:
        for needed, output in sorted(inputs.items()):
            if entry.references[needed] != output:
                problem = f"it was made from {needed} as {entry.references[needed]}, which is {output}"
    if problem:
        return UntrustedResult(f"{worker}'s result for {name} does not count: {problem}")
    if recorded is not None:
        if entry.output == recorded:
            return None
        return NotReproducible(
            f"the output of {name} is {entry.output} on {worker}; the lock records {recorded}",
            hint="the build depends on something that is not pinned, or the worker is not to be relied on",
        )
    doubt = trust.doubt(entry)
    if not doubt:
        return None
    return UntrustedResult(
        f"{worker}'s result for {name} does not count: no lock records it, and {doubt}",
        hint="put the worker's key into recipes/caches.toml if it is to be trusted",
    )
