"""What a cache says of a build: a realisation with what it was made from, signed; and closures of them.

A closure is one object, found by the planned hash of a target, with the entries of the target and of everything that
it needs: a build of hundreds of paths asks for one object, where a request for each path would be the rule. Object
stores have no way to read many objects at once.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Annotated, Any, Final

from layerlock.model.caches import PublicKey
from layerlock.model.decode import DecodeError, Name, Sha256, Text, TreeHash, decode, item
from layerlock.model.derivation import Derivation, Realisation
from layerlock.model.digest import canonical, unsri

FORMAT: Final = 1
LARGEST_CLOSURE: Final = 16 << 20
"""Bytes of a closure that is read."""
_STATEMENT: Final = "layerlock/cache-entry/1"

SignatureText = Annotated[str, Text(pattern=r"[A-Za-z0-9+/]{86}==", called="an ed25519 signature in base64")]


class BadEntry(Exception):
    """An object of a cache is not what it should be; the text completes "it is not used: …"."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Signature:
    """A signature over a statement, and the public key that made it."""

    key: PublicKey = item("The public key.")
    signature: SignatureText = item("The signature.")


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """A realisation as it is signed; `references` are the outputs of its inputs, by the inputs' names.

    There is no time in it: what it says is true whenever it was said, and nobody's clock can make it another.
    """

    name: Name = item("The derivation.")
    planned: Sha256 = item("Its planned hash.")
    resolved: Sha256 = item("Its resolved hash.")
    output: TreeHash = item("The NAR hash of the output.")
    size: int = item("The bytes of the output's NAR.")
    references: Mapping[str, TreeHash] = item("The outputs of its inputs, by name.", default={})
    signatures: tuple[Signature, ...] = item("Signatures over all of the above.", default=())

    @property
    def statement(self) -> bytes:
        """What is signed: the canonical encoding, with a mark that no other signed thing begins with."""
        fields = {key: value for key, value in self.fields().items() if key != "signatures"}
        return canonical({"statement": _STATEMENT, **fields})

    @property
    def realisation(self) -> Realisation:
        """The same as a store keeps it."""
        return Realisation(
            name=self.name,
            planned=self.planned,
            resolved=self.resolved,
            output=self.output,
            size=self.size,
        )

    @property
    def blob(self) -> str:
        """The key of the output's tree in a cache."""
        return tree_key(self.output)

    def fits(self, derivation: Derivation, planned: str) -> str:
        """Say what of it does not belong to a derivation with this planned hash; empty where it all does."""
        if (self.name, self.planned) != (derivation.name, planned):
            return f"it tells of another build, {self.name} ({self.planned[:12]})"
        if self.references.keys() != {one.name for one in derivation.inputs}:
            return "it names other inputs than the build has"
        if derivation.hash(self.references) != self.resolved:
            return "its resolved hash is not that of the build from the inputs that it names"
        return ""

    def fields(self) -> dict[str, Any]:
        """Give everything, as it is written."""
        fields = asdict(replace(self, references={}))
        return {**fields, "references": dict(self.references)}


def entry_of(made: Realisation, references: Mapping[str, str]) -> Entry:
    """Make the unsigned entry of a build."""
    return Entry(
        name=made.name,
        planned=made.planned,
        resolved=made.resolved,
        output=made.output,
        size=made.size,
        references=dict(references),
    )


def closure_key(planned: str) -> str:
    """Give the place of a target's closure."""
    return f"closures/{planned}.json"


def tree_key(output: str) -> str:
    """Give the place of a tree, by its NAR hash in SRI."""
    return f"trees/{unsri(output)}.nar.zst"


def file_key(sha256: str) -> str:
    """Give the place of a file, by its sha256."""
    return f"files/{sha256}.zst"


def encode_closure(entries: Iterable[Entry]) -> bytes:
    """Write a closure; equal entries give equal bytes."""
    ordered = sorted(entries, key=lambda entry: (entry.name, entry.planned, entry.resolved, entry.output))
    listed = [entry.fields() for entry in ordered]
    return canonical({"format": FORMAT, "entries": listed}) + b"\n"


def decode_closure(data: bytes) -> tuple[Entry, ...]:
    """Read what `encode_closure` wrote; signatures are checked by whoever uses an entry.

    Raises:
        BadEntry: it is something else, or of a format of the future.
    """
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        raise BadEntry("the closure is not JSON") from None
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise BadEntry(f"the closure is not of format {FORMAT}")
    found = document.get("entries")
    if not isinstance(found, list):
        raise BadEntry("the closure has no list of entries")
    try:
        entries = tuple(decode(Entry, each) for each in found)
        for entry in entries:
            for output in (entry.output, *entry.references.values()):
                unsri(output)
    except (DecodeError, ValueError) as error:
        where = f"{error.path}: " if isinstance(error, DecodeError) and error.path else ""
        raise BadEntry(f"an entry of the closure is malformed: {where}{error}") from None
    if any(entry.size < 0 for entry in entries):
        raise BadEntry("an entry of the closure has a size below 0")
    return entries


def merged(first: Iterable[Entry], second: Iterable[Entry]) -> tuple[Entry, ...]:
    """Join the entries of two pushers: what both say has the signatures of both."""
    found: dict[bytes, Entry] = {}
    for entry in (*first, *second):
        known = found.get(entry.statement)
        if known is not None:
            signatures = {one.key: one for one in (*known.signatures, *entry.signatures)}
            entry = replace(known, signatures=tuple(signatures[key] for key in sorted(signatures)))  # noqa: PLW2901
        found[entry.statement] = entry
    return tuple(found.values())
