"""What a check asks of the driver process that rebuilds, and what that answers; as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from layerlock.model.derivation import Realisation


@dataclass(frozen=True, kw_only=True, slots=True)
class Wanted:
    """A derivation to rebuild: its planned hash, and the realisations that it gets as inputs, by name."""

    name: str
    planned: str
    inputs: Mapping[str, Realisation]


@dataclass(frozen=True, kw_only=True, slots=True)
class Orders:
    """Everything that one rebuilding process does.

    `target` is the layer or package that the derivations belong to. `files` are shown to builds in place of files
    below /proc, `libraries` preloaded into them by the SRI of the root that they run in, by way of the file `listed`.
    `emulator` is the program that emulates another processor, empty for none.
    """

    target: str
    wanted: tuple[Wanted, ...]
    files: Mapping[str, str]
    libraries: Mapping[str, str]
    listed: str
    emulator: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Rebuilt:
    """What came of one derivation: the SRI of its output, or empty and the reason for which there is none."""

    name: str
    output: str = ""
    size: int = 0
    reason: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """What the process built, and what it saw of its own surroundings."""

    rebuilt: tuple[Rebuilt, ...]
    seen: Mapping[str, Any]


def encode_orders(orders: Orders) -> bytes:
    """Give the JSON of orders."""
    return json.dumps(asdict(orders), indent=1).encode()


def decode_orders(data: bytes) -> Orders:
    """Read orders.

    Raises:
        ValueError, KeyError, TypeError: they are none.
    """
    told = json.loads(data)
    told["wanted"] = tuple(
        Wanted(
            name=each["name"],
            planned=each["planned"],
            inputs={name: Realisation(**made) for name, made in each["inputs"].items()},
        )
        for each in told["wanted"]
    )
    return Orders(**told)


def encode_answer(answer: Answer) -> dict[str, Any]:
    """Give an answer as the fields of a result."""
    return asdict(answer)


def decode_answer(fields: Mapping[str, Any]) -> Answer:
    """Read an answer out of the fields of a result.

    Raises:
        KeyError, TypeError: it is none.
    """
    return Answer(rebuilt=tuple(Rebuilt(**each) for each in fields["rebuilt"]), seen=dict(fields["seen"]))
