"""A sandbox that shows every build something else: files of the kernel, and a library preloaded into programs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Event

from layerlock.build.workshop import Sandbox
from layerlock.sandbox.spec import Mount, Outcome, SandboxSpec

LIBRARY = "/layerlock/vary.so"
EMULATOR = "/layerlock/vary-emulator"
LIST = "/etc/ld.so.preload"


@dataclass(frozen=True, kw_only=True, slots=True)
class Varied:
    """Runs what it is given in the sandbox `inner`, with changes that no derivation's hash knows of.

    `files` are shown in place of files below /proc, by path. `libraries` are preloaded, by the root that a build runs
    in; `listed` is the file that makes the loader do it. `emulator` is what libraries that emulate a processor start.
    """

    inner: Sandbox
    files: Mapping[str, Path]
    libraries: Mapping[Path, Path]
    listed: Path
    emulator: Path | None = None

    def run(self, spec: SandboxSpec, *, log: Path, on_line: Callable[[str], None], cancel: Event) -> Outcome:
        """Run a specification with the changes."""
        return self.inner.run(self.changed(spec), log=log, on_line=on_line, cancel=cancel)

    def prepare(self) -> object:
        """Have everything at hand, as the inner sandbox has it."""
        return self.inner.prepare()

    def shell(self, spec: SandboxSpec) -> int:
        """Run with the terminal attached, with the changes."""
        return self.inner.shell(self.changed(spec))

    def changed(self, spec: SandboxSpec) -> SandboxSpec:
        """Give a specification with the changes."""
        mounts = [Mount(source=file, target=path) for path, file in sorted(self.files.items())]
        library = self.libraries.get(spec.root)
        if library is not None:
            mounts += [Mount(source=library, target=LIBRARY), Mount(source=self.listed, target=LIST)]
            if self.emulator is not None:
                mounts.append(Mount(source=self.emulator, target=EMULATOR))
        return replace(spec, mounts=(*spec.mounts, *mounts))
