"""The record of one build, its two hashes, and what came of it.

The *planned* hash names inputs by their planned hashes, so it is known before anything is built. The *resolved*
hash names them by the content of their outputs: what decides whether a build can be skipped. The distinction
is that of content-addressed derivations in Nix (RFC 62).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from layerlock.model.digest import Canonical, digest

FORMAT = 1
"""Number of the encoding below. It is hashed; a change of the encoding needs a new number, and orphans locks."""


@dataclass(frozen=True, kw_only=True, slots=True)
class GuestFile:
    """A file of the driver's guest code, by content."""

    name: str
    sha256: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Transform:
    """Work done by the driver itself, by a numbered function (`debian-root/1`) with its parameters."""

    name: str
    parameters: Mapping[str, Canonical]


@dataclass(frozen=True, kw_only=True, slots=True)
class GuestRun:
    """Work done in the sandbox: one guest script, started with a task.

    `root` names the input that is the root file system; `command` starts the interpreter of the guest code;
    `entry` and `guest` are the script and every guest file that it imports; `task` is what it is told.
    """

    root: str
    command: tuple[str, ...]
    entry: str
    guest: tuple[GuestFile, ...]
    task: Mapping[str, Canonical]
    variables: Mapping[str, str]
    uid: int = 1000
    shared_memory: bool = True


Action = Transform | GuestRun


@dataclass(frozen=True, kw_only=True, slots=True)
class Input:
    """Another derivation's output, or its folder `part`, seen at `mount`.

    A root file system and the inputs of transforms have no mount. What lies at or below one of the paths `without`,
    relative to what is seen, is not there for the build.
    """

    name: str
    mount: str | None
    part: str = ""
    without: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class SourceInput:
    """A pinned source as a build sees it: what it is, by content, and where it stands.

    `identity` is what is hashed: `sha256:<hex>` of a file or the SRI hash of a tree. `unpack` is the numbered
    transform that makes a tree of the file, or empty; `folder` is the part of the tree that is seen, or empty for
    all of it. `key` finds the locked source and is not hashed.
    """

    key: str
    place: str
    identity: str
    unpack: str
    strip: int = 0
    folder: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class PatchInput:
    """A patch by content; `path` is its place below `patches/`, of which the last part is seen by the build."""

    path: str
    sha256: str


@dataclass(frozen=True, kw_only=True, slots=True)
class DataInput:
    """A file of the repository that a build sees (a smoke test, a list of exports), by content."""

    path: str
    place: str
    sha256: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Needs:
    """What a build may use. Bytes do not depend on it, so it is not hashed. Bytes and seconds.

    `memory_per_job` is what the largest of the processes takes that it runs side by side, where that is known.
    """

    memory: int = 2 << 30
    memory_per_job: int | None = None
    seconds: int = 3600
    processes: int = 4096
    log_bytes: int = 256 << 20
    output_bytes: int = 4 << 30


@dataclass(frozen=True, kw_only=True, slots=True)
class Derivation:
    """One build: what is done, with what. Everything but `needs` and the sources' keys shapes its hashes."""

    name: str
    version: str
    system: str
    action: Action
    inputs: tuple[Input, ...] = ()
    sources: tuple[SourceInput, ...] = ()
    patches: tuple[PatchInput, ...] = ()
    data: tuple[DataInput, ...] = ()
    needs: Needs = field(default_factory=Needs)

    def fields(self, named: Mapping[str, str]) -> dict[str, Canonical]:
        """Give the hashed fields, with each input named as `named` says (by planned hash, or by output)."""
        action: dict[str, Canonical]
        match self.action:
            case Transform(name=name, parameters=parameters):
                action = {"transform": name, "parameters": parameters}
            case GuestRun() as run:
                action = {
                    "root": run.root,
                    "command": list(run.command),
                    "entry": run.entry,
                    "guest": {file.name: file.sha256 for file in run.guest},
                    "task": run.task,
                    "variables": dict(run.variables),
                    "uid": run.uid,
                    "shared_memory": run.shared_memory,
                }
        return {
            "format": FORMAT,
            "name": self.name,
            "version": self.version,
            "system": self.system,
            "action": action,
            "inputs": {i.name: _input(i, named[i.name]) for i in self.inputs},
            "sources": {
                s.place: {"identity": s.identity, "unpack": s.unpack, "strip": s.strip, "folder": s.folder}
                for s in self.sources
            },
            "patches": [{"name": p.path.rpartition("/")[2], "sha256": p.sha256} for p in self.patches],
            "data": {d.place: d.sha256 for d in self.data},
        }

    def hash(self, named: Mapping[str, str]) -> str:
        """Give the planned or the resolved hash, by how `named` names the inputs. Hexadecimal sha256."""
        return digest(self.fields(named))


def _input(item: Input, named: str) -> Canonical:
    fields: dict[str, Canonical] = {"mount": item.mount, "part": item.part, "is": named}
    # Left out where it says nothing: most hashes are older than this key.
    return {**fields, "without": sorted(item.without)} if item.without else fields


@dataclass(frozen=True, kw_only=True, slots=True)
class Realisation:
    """A build that happened: planned and resolved hash (hexadecimal), its output (SRI) and size in bytes."""

    name: str
    planned: str
    resolved: str
    output: str
    size: int
