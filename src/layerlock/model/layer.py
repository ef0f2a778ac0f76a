"""Recipes of layers, as people write them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from layerlock.model.decode import Bytes, Name, RelativePath, Seconds, Variable, item

SMOKE_SECONDS = 60
"""How long a smoke test may take where its recipe says nothing."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Skip:
    """A check of `audit` whose findings are left out, or those of them that are of one subject."""

    check: Name = item("The check, as `audit --list` names it.")
    subject: str | None = item(
        "What the findings are about; all findings of the check if left out.", default=None
    )
    reason: str = item("Why they do not matter here. It is shown with what was left out.")


@dataclass(frozen=True, kw_only=True, slots=True)
class Audit:
    """What `audit` is told of a layer. No derivation depends on it."""

    skip: tuple[Skip, ...] = item("Findings that are left out.", default=())


@dataclass(frozen=True, kw_only=True, slots=True)
class AboutLayer:
    """What a layer is, and what it is made of."""

    name: Name = item("The name; the file is called so too.")
    base: Name | None = item(
        "A layer that this one changes: its keys stand where none is given here.", default=None
    )
    summary: str = item("One line on what it is, shown by `nox -l`.")
    runtime: Name = item("The Lambda runtime that it is for.")
    architecture: Literal["x86_64", "arm64"] = item("The processor that it is for.", default="x86_64")
    environment: Name = item("The environment that it is assembled in.")
    packages: tuple[Name, ...] = item("The packages whose outputs it holds.")
    with_: tuple[Name, ...] = item(
        "Layers that it is used with, in the order in which functions list them, before this one. Its libraries may "
        "count on theirs, its smoke tests run with them, and all of them together keep to Lambda's limits.",
        default=(),
    )
    tools: tuple[Name, ...] = item("Packages of wheels that the assembly's own scripts use.", default=())
    bytecode: Literal["none", "unchecked-hash", "sourceless"] = item(
        "Bytecode to ship: none, beside each module, or in its place (`sourceless`: without the source).",
        default="none",
    )
    keep_sources: tuple[str, ...] = item(
        "Globs of modules that keep their source where the layer is `sourceless`, since something reads it.",
        default=(),
    )
    columns: bool = item(
        "Whether bytecode tells at which columns of a line things stand. Tracebacks of Python 3.11 and later underline "
        "them; lines they name all the same.",
        default=True,
    )
    strip: bool = item("Whether symbols that loading does not need are dropped.", default=True)
    max_page_size: int | None = item(
        "The largest memory page, in bytes, that objects have to be laid out for, as ld's option of that name. What "
        "linkers left between segments for larger pages is closed. Without bytecode only.",
        default=None,
        example="4096",
    )
    private: tuple[str, ...] = item(
        "Libraries of the layer that get a name of their own, because the runtime has an older one of the same name.",
        default=(),
    )
    lower: tuple[RelativePath, ...] = item(
        "Prebuilt libraries whose symbol references are lowered to the runtime's versions.", default=()
    )
    loaded_before: tuple[str, ...] = item(
        "Libraries that Python has loaded, by another module, before the modules that need them: their place is on no "
        "search path, and need not be.",
        default=(),
    )
    audit: Audit = item("What `audit` is told of it.", default=Audit())


@dataclass(frozen=True, kw_only=True, slots=True)
class Budget:
    """What a layer may weigh. Lambda's own limits hold besides."""

    unzipped: Bytes | None = item("All files together.", default=None, example='"90 MB"')
    zipped: Bytes | None = item("The zip.", default=None, example='"33 MB"')


@dataclass(frozen=True, kw_only=True, slots=True)
class Compressor:
    """What packs the zip. Its version is that of the pinned package among the layer's tools."""

    name: Literal["libdeflate", "zopfli"] = item(
        "The library. zopfli's zips are a little smaller yet, for minutes of time; the layer's tools have to hold it.",
        default="libdeflate",
    )
    level: int = item("Of libdeflate its level, 1 to 12; of zopfli the iterations, 15 as a rule.", default=12)


@dataclass(frozen=True, kw_only=True, slots=True)
class PruneRule:
    """Files that stay out of a layer."""

    name: Name = item("What the rule is called in reports.")
    patterns: tuple[str, ...] = item("Globs from the layer's top; `**` stands for any number of folders.")
    reason: str = item("Why they are not needed.", default="")


@dataclass(frozen=True, kw_only=True, slots=True)
class KeepRule:
    """Files that stay in a layer whatever the prune rules say."""

    patterns: tuple[str, ...] = item("Globs from the layer's top.")
    reason: str = item("What needs them.", default="")


@dataclass(frozen=True, kw_only=True, slots=True)
class NoBytecodeRule:
    """Modules that ship without bytecode in a layer that has it."""

    patterns: tuple[str, ...] = item("Globs from the layer's top.")
    reason: str = item("Why it does not matter that they are compiled where they are imported.")


@dataclass(frozen=True, kw_only=True, slots=True)
class BuildPathRule:
    """Files that may hold what looks like a folder of the build."""

    patterns: tuple[str, ...] = item("Globs from the layer's top.")
    reason: str = item("Why it is harmless there.")


@dataclass(frozen=True, kw_only=True, slots=True)
class PythonSmoke:
    """A smoke test that is a Python program; it fails by its exit status."""

    kind: Literal["python"] = item("How the test runs.", default="python")
    name: Name = item("The test's name.")
    file: RelativePath = item("The program, below `recipes/`.")
    data: tuple[RelativePath, ...] = item(
        "Files that it reads, below `recipes/`, given to it as arguments.", default=()
    )
    time: Seconds = item("How long it may take.", default=SMOKE_SECONDS, example='"5 min"')


@dataclass(frozen=True, kw_only=True, slots=True)
class InvokeSmoke:
    """A smoke test that is an invocation through AWS's runtime interface emulator."""

    kind: Literal["invoke"] = item("How the test runs.")
    name: Name = item("The test's name.")
    file: RelativePath = item("The module that holds the handler, below `recipes/`.")
    handler: str = item("The handler, `module.function`.")
    event: Mapping[str, Any] = item("What it is invoked with.", default={})
    expect: Mapping[str, Any] = item("What it must answer.", default={})
    time: Seconds = item("How long it may take.", default=SMOKE_SECONDS, example='"5 min"')


Smoke = PythonSmoke | InvokeSmoke


@dataclass(frozen=True, kw_only=True, slots=True)
class SmokeTools:
    """What invocations need besides the layer."""

    packages: tuple[Name, ...] = item("Packages that hold the emulator and its Python client.", default=())
    environment: Mapping[Variable, str] = item("Variables over the runtime's own.", default={})


@dataclass(frozen=True, kw_only=True, slots=True)
class LayerRecipe:
    """`recipes/layers/NAME.toml`: what a layer holds, and what it must be able to do."""

    layer: AboutLayer = item("What the layer is.")
    budget: Budget = item("What it may weigh.", default=Budget())
    compressor: Compressor = item("What packs it.", default=Compressor())
    prune: tuple[PruneRule, ...] = item("What stays out.", default=())
    keep: tuple[KeepRule, ...] = item("What stays in all the same.", default=())
    no_bytecode: tuple[NoBytecodeRule, ...] = item("What ships without bytecode.", default=())
    allow_build_paths: tuple[BuildPathRule, ...] = item(
        "Where build folders may be named; anywhere else they stop the build.", default=()
    )
    smoke_tools: SmokeTools = item("What smoke tests need.", default=SmokeTools())
    smoke: tuple[Smoke, ...] = item("What it must be able to do on its runtime.", default=())

    @property
    def name(self) -> str:
        """The layer's name."""
        return self.layer.name
