"""What a Lambda runtime offers, as data."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from layerlock.model.decode import AbsolutePath, Name, RelativePath, Variable, item


@dataclass(frozen=True, kw_only=True, slots=True)
class AboutRuntime:
    """What a runtime is, and what stands in for it in smoke tests."""

    name: Name = item("AWS's name of the runtime; the file is called so too.")
    summary: str = item("One line on what it is.", default="")
    python: str = item("The Python version, `X.Y`.")
    system: Name = item("The system that it runs on.", example='"amazonlinux2"')
    environment: Name = item("The environment that stands in for it in smoke tests on x86_64.")
    package: Name = item(
        "The package that is its Python: in smoke tests on x86_64, and wherever layers are assembled."
    )
    executable: AbsolutePath = item("The interpreter.")
    architectures: tuple[Literal["x86_64", "arm64"], ...] = item("The processors that it is offered for.")


@dataclass(frozen=True, kw_only=True, slots=True)
class StandIn:
    """What stands in for a runtime on one processor, in smoke tests."""

    architecture: Literal["x86_64", "arm64"] = item("The processor.")
    environment: Name = item("The environment that stands in for the runtime's system.")
    package: Name | None = item(
        "The package that is its Python there; the environment holds it itself if left out.", default=None
    )
    emulator: Name | None = item(
        "A package that holds an emulator of the processor, for machines of another one.", default=None
    )
    launcher: RelativePath | None = item(
        "The emulator's program, in the package's output.", default=None, example='"qemu-aarch64-static"'
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Levels:
    """The newest symbol versions that its base libraries have."""

    glibc: str = item("Of the C library.")
    glibcxx: str = item("Of libstdc++.")
    cxxabi: str = item("Of libstdc++'s run-time support.")
    gcc: str = item("Of libgcc_s.")


@dataclass(frozen=True, kw_only=True, slots=True)
class Search:
    """Where it looks, in order."""

    libraries: tuple[AbsolutePath, ...] = item("For shared libraries: its `LD_LIBRARY_PATH`.")
    modules: tuple[AbsolutePath, ...] = item("For modules: its `sys.path`, before the standard library.")


@dataclass(frozen=True, kw_only=True, slots=True)
class RuntimeLimits:
    """Lambda's limits, in bytes unless said otherwise."""

    unzipped: int = item("A function and all its layers, unzipped.")
    direct_upload: int = item("A zip uploaded in the request.")
    request: int = item("The whole request.")
    layers: int = item("Layers of one function.")
    tmp: int = item("`/tmp` as it comes.")


@dataclass(frozen=True, kw_only=True, slots=True)
class Dates:
    """What AWS announced."""

    deprecated: datetime.date = item("From then on without support.")
    updates_blocked: datetime.date = item("From then on functions cannot be updated.")


@dataclass(frozen=True, kw_only=True, slots=True)
class Absent:
    """What one might expect there and does not find."""

    libraries: tuple[str, ...] = item("Shared libraries.", default=())


@dataclass(frozen=True, kw_only=True, slots=True)
class Lowering:
    """Symbols of which an older version does the same for prebuilt libraries."""

    library: str = item("The library that exports them.")
    architecture: Literal["x86_64", "arm64"] = item("The processor that this holds for.", default="x86_64")
    from_: str = item("The version that is too new.")
    to: str = item("The version that stands for it.")
    symbols: tuple[str, ...] = item("The symbols.")
    reason: str = item("Why the older one will do.", default="")


@dataclass(frozen=True, kw_only=True, slots=True)
class RuntimeRecipe:
    """`recipes/runtimes/NAME.toml`."""

    runtime: AboutRuntime = item("What the runtime is.")
    levels: Levels = item("Its base libraries' symbol versions.")
    search: Search = item("Where it looks.")
    variables: Mapping[Variable, str] = item("Environment variables that it sets.", default={})
    limits: RuntimeLimits = item("Lambda's limits.")
    dates: Dates = item("What AWS announced.")
    absent: Absent = item("What it lacks.", default=Absent())
    exports: Mapping[str, RelativePath] = item(
        "For each processor, the list of its libraries' exported symbols, a file beside this one.", default={}
    )
    lower: tuple[Lowering, ...] = item("References that may be lowered.", default=())
    stand_ins: tuple[StandIn, ...] = item(
        "What stands in for it on processors other than x86_64.", default=()
    )

    @property
    def name(self) -> str:
        """The runtime's name."""
        return self.runtime.name

    def stand_in(self, architecture: Literal["x86_64", "arm64"]) -> StandIn | None:
        """Give what stands in for the runtime on a processor; None where nothing does."""
        for row in self.stand_ins:
            if row.architecture == architecture:
                return row
        if architecture != "x86_64":
            return None
        return StandIn(
            architecture=architecture, environment=self.runtime.environment, package=self.runtime.package
        )
