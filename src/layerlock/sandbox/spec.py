"""What a sandbox shows, allows and limits, and how a run in it ended; the same for every backend."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True, slots=True)
class Mount:
    """A directory or file of the host, seen inside at the path `target`; read-only unless `writable`.

    The target need not exist in the root. Targets neither nest nor lie below `/build`, `/out` and `/tmp`, nor
    below `/proc` but for a few files (`skeleton.COVERED`).
    """

    source: Path
    target: str
    writable: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """What a run may use: bytes of memory, live processes, seconds, bytes of log, bytes below `/out`."""

    memory: int
    processes: int
    seconds: float
    log_bytes: int
    output_bytes: int


@dataclass(frozen=True, kw_only=True, slots=True)
class SandboxSpec:
    """One run: its root file system (never written to), mounts, command, variables and limits.

    `build`, `out` and `tmp` are empty or prepared directories of the host that become the writable `/build`,
    `/out` and `/tmp`; one that is None does not exist inside. The command sees `variables` and `PWD`, nothing
    else. `interactive` leaves the terminal's session to the command, for `shell`.
    """

    root: Path
    argv: tuple[str, ...]
    variables: Mapping[str, str]
    cwd: str
    limits: Limits
    mounts: tuple[Mount, ...] = ()
    build: Path | None = None
    out: Path | None = None
    tmp: Path | None = None
    uid: int = 1000
    gid: int = 1000
    shared_memory: bool = True
    interactive: bool = False

    def all_mounts(self) -> tuple[Mount, ...]:
        """Give every mount, the writable places among them, sorted by target."""
        places = (("/build", self.build), ("/out", self.out), ("/tmp", self.tmp))  # noqa: S108 - inside
        writable = tuple(Mount(source=s, target=t, writable=True) for t, s in places if s is not None)
        return tuple(sorted(self.mounts + writable, key=lambda mount: mount.target))


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """How a run ended. At most one of the reasons for which the sandbox ended it is set.

    `status` is the command's exit status (128 + n where signal n killed it, n being `signal`); -1 where the
    sandbox was ended for one of the reasons. `killed_process` names the process that used most memory when
    memory ran out. `cpu_seconds` and `peak_memory` (bytes, anonymous and shared memory, without page cache)
    are sampled ten times a second where the kernel does not account for them.
    """

    status: int
    signal: int | None
    out_of_memory: bool
    timed_out: bool
    log_overflow: bool
    output_overflow: bool
    process_overflow: bool
    cancelled: bool
    killed_process: str | None
    seconds: float
    cpu_seconds: float
    peak_memory: int
    control: str

    @property
    def succeeded(self) -> bool:
        """Say whether the command ended by itself, with status 0 and within every limit."""
        ended = self.out_of_memory or self.timed_out or self.log_overflow or self.output_overflow
        return self.status == 0 and not (ended or self.process_overflow or self.cancelled)
