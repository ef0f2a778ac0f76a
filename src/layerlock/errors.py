"""The one family of errors: each says what was wrong, where, and what to do, and has its own exit code."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Location:
    """A place in a file that a person wrote.

    `path` is the dotted path inside the document (`sources[1].sha256`), `line` counts from 1.
    """

    file: str
    line: int | None = None
    path: str = ""

    def __str__(self) -> str:
        place = self.file if self.line is None else f"{self.file}:{self.line}"
        return f"{place} ({self.path})" if self.path else place


class LayerlockError(Exception):
    """Root of every error that the driver raises on purpose."""

    exit_code = 1

    def __init__(self, message: str, *, hint: str = "", location: Location | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.location = location

    def __str__(self) -> str:
        return f"{self.location}: {self.message}" if self.location else self.message


class UsageError(LayerlockError):
    """The command line asks for something that does not exist or does not fit together."""

    exit_code = 2


class InvalidRecipe(LayerlockError):
    """A recipe, a patch list or a data file does not follow its format."""

    exit_code = 3


class StaleLock(LayerlockError):
    """A lock is missing, or no longer fits the recipes it was written from."""

    exit_code = 4


class FetchError(LayerlockError):
    """No address gave the bytes that were asked for."""

    exit_code = 5


class HashMismatch(LayerlockError):
    """Bytes arrived, but not the pinned ones."""

    exit_code = 6


class SandboxUnavailable(LayerlockError):
    """No sandbox can run here; nothing is built without one."""

    exit_code = 7


class BuildFailed(LayerlockError):
    """A build's own commands failed."""

    exit_code = 8


class OutOfMemory(LayerlockError):
    """A build was ended at its memory limit."""

    exit_code = 9


class TimedOut(LayerlockError):
    """A build was ended at its time limit."""

    exit_code = 10


class NotReproducible(LayerlockError):
    """An output differs from the one that the lock records."""

    exit_code = 11


class AbiViolation(LayerlockError):
    """A file in a layer would not load on the layer's runtime."""

    exit_code = 12
    file = ""
    """The file, from the layer's top, where it is known."""


class OverBudget(LayerlockError):
    """A layer is larger than Lambda's limit or than its own budget."""

    exit_code = 13


class PublishFailed(LayerlockError):
    """Publishing did not succeed."""

    exit_code = 14


class UnsafeArchive(LayerlockError):
    """An archive tries to leave its folder, holds what it must not, or expands past its cap."""

    exit_code = 15


class PatchFailed(LayerlockError):
    """A patch leaves its tree, or does not apply without fuzz."""

    exit_code = 16


class StoreError(LayerlockError):
    """The store cannot be written, or an entry in it is damaged."""

    exit_code = 17


class Offline(LayerlockError):
    """Something has to be fetched and the network was ruled out."""

    exit_code = 18


class Unverified(LayerlockError):
    """A signed index is not signed by a key that is trusted here."""

    exit_code = 19


class SmokeFailed(LayerlockError):
    """A layer was made, but does not work in a Lambda-like root."""

    exit_code = 20
    late = False
    """Whether a test took longer than it may, for which a busy machine can be to blame."""


class LayerCheckFailed(LayerlockError):
    """A layer holds what it must not: build paths, `.pth` files, colliding or shadowing names."""

    exit_code = 21


class ResourceExceeded(LayerlockError):
    """A build wrote more log, made more output or started more processes than it may."""

    exit_code = 22


class DiskFull(StoreError):
    """The file system that holds the store has no room left."""

    exit_code = 23


class HostileOutput(LayerlockError):
    """A build left something in its output that must not be taken out of the sandbox."""

    exit_code = 24


class NoHistory(LayerlockError):
    """The repository's history cannot be read, is cut short, or does not hold what was asked for."""

    exit_code = 25


class UnknownZip(LayerlockError):
    """No lock that is known recorded this zip."""

    exit_code = 26


class CheckFailed(LayerlockError):
    """A rebuild came out different from what the store or the lock holds, or could not be compared."""

    exit_code = 27


class AuditFailed(LayerlockError):
    """An audit found what is as bad as, or worse than, what it was told to fail on."""

    exit_code = 28


class BadAttestation(LayerlockError):
    """An attestation is malformed, is not signed by the key that was given, or speaks of another zip."""

    exit_code = 29


class BadAdvisories(LayerlockError):
    """A vulnerability database or an SBOM that was handed in is malformed, or too large to be one."""

    exit_code = 30


class NotBuilt(LayerlockError):
    """The question is about what was built of a layer, and the store does not hold it."""

    exit_code = 31


class LayersOverlap(LayerlockError):
    """Layers that are used together both hold something: a file, a distribution or a library."""

    exit_code = 32


class WrongPlatform(LayerlockError):
    """A wheel is for another processor, system or Python than the layer that it is put into."""

    exit_code = 33


class BrokenByPruning(LayerlockError):
    """Prune rules leave out of a layer what its smoke tests, or other files of it, need."""

    exit_code = 34


class Unresolvable(LayerlockError):
    """No wheels for the Python, the processor and the C library meet the requirements of a package."""

    exit_code = 35


class BadPylock(LayerlockError):
    """A `pylock.toml` is malformed, or of a version that is not read here."""

    exit_code = 36


class FunctionRefused(LayerlockError):
    """Lambda would refuse a function: it is over a limit, or its parts do not fit together."""

    exit_code = 37


class InvocationFailed(LayerlockError):
    """A function answered a local invocation with an error, or not at all."""

    exit_code = 38


class BadCache(LayerlockError):
    """A binary cache holds what is damaged, lost, or not signed by a key that is trusted."""

    exit_code = 39


class NotCached(LayerlockError):
    """Nothing may be built (`--cache-only`), and no cache has an output that can be used."""

    exit_code = 40


class CannotBuild(LayerlockError):
    """No build can run on this machine: no sandbox works, or the store cannot be written to."""

    exit_code = 42


class NoScheduler(LayerlockError):
    """The scheduler of a cluster does not answer, or went away."""

    exit_code = 41


class InsecureCluster(LayerlockError):
    """A cluster would be spoken to without mutual TLS, or a certificate is missing, expired or refused."""

    exit_code = 43


class VersionMismatch(LayerlockError):
    """The driver and a cluster's scheduler or workers are of different versions."""

    exit_code = 44


class NoWorker(LayerlockError):
    """No worker of a cluster can do a build: none offers what it needs, or all of them have left."""

    exit_code = 45


class KillsWorkers(LayerlockError):
    """Three workers died while they were on the same build."""

    exit_code = 46


class UntrustedResult(LayerlockError):
    """No lock records a worker's result, and no key that is trusted has signed it."""

    exit_code = 47
