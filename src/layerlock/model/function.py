"""Recipes of functions, as people write them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from layerlock.model.decode import Bytes, Name, RelativePath, Seconds, Text, Variable, item
from layerlock.model.layer import (
    SMOKE_SECONDS,
    AboutLayer,
    Audit,
    Budget,
    BuildPathRule,
    Compressor,
    KeepRule,
    LayerRecipe,
    PruneRule,
    SmokeTools,
)

Handler = Annotated[
    str,
    Text(
        pattern=r"[A-Za-z0-9_-]+([./][A-Za-z0-9_-]+)*\.[A-Za-z_][A-Za-z0-9_]*",
        called="a handler, `module.function`",
    ),
]

Route = Annotated[
    str,
    Text(
        pattern=r"(GET|HEAD|POST|PUT|PATCH|DELETE|ANY) (/[A-Za-z0-9._~{}+-]*)+",
        called="a route, `METHOD /path`",
    ),
]

BucketName = Annotated[
    str,
    Text(
        pattern=r"[a-z0-9]([a-z0-9-]{0,18}[a-z0-9])?", called="a name of [a-z0-9-] of at most 20 characters"
    ),
]


@dataclass(frozen=True, kw_only=True, slots=True)
class Bucket:
    """A bucket of S3 that is made with a function."""

    name: BucketName = item(
        "What it is called; on AWS the function's name stands before it.", example='"images"'
    )
    summary: str = item("What it is for.")
    access: Literal["read", "write"] = item("What the function may do there.")
    starts: bool = item("Whether each object that is put into it invokes the function.", default=False)
    variable: Variable | None = item(
        "The environment variable that tells the function its name on AWS.", default=None
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Deploy:
    """What a function is configured with, and what is made around it: `layerlock template` writes it down."""

    memory: Bytes = item("The memory that it gets.", default=1 << 30, example='"2 GiB"')
    time: Seconds = item("How long Lambda lets it run.", default=30, example='"1 min"')
    retries: Literal[0, 1, 2] = item("How often Lambda tries an event of S3 again.", default=2)
    route: Route | None = item(
        "What it answers over HTTP, through API Gateway.", default=None, example='"POST /classify"'
    )
    buckets: tuple[Bucket, ...] = item("The buckets that it works with.", default=())


@dataclass(frozen=True, kw_only=True, slots=True)
class AboutFunction:
    """What a function is, and what it is made of."""

    name: Name = item("The name; the file is called so too. No layer has the same.")
    base: Name | None = item(
        "A function that this one changes: its keys stand where none is given here.", default=None
    )
    summary: str = item("One line on what it is, shown by `nox -l`.")
    runtime: Name = item("The Lambda runtime that it is for.")
    architecture: Literal["x86_64", "arm64"] = item("The processor that it is for.", default="x86_64")
    environment: Name = item("The environment that it is assembled in.")
    handler: Handler = item("What Lambda calls.", example='"app.handler"')
    packages: tuple[Name, ...] = item(
        "The packages whose outputs it holds: what stands below `python/` there comes to the top of the zip, "
        "everything else stays where it is."
    )
    layers: tuple[Name, ...] = item("The layers that it runs with, in Lambda's order.", default=())
    variables: Mapping[Variable, str] = item(
        "The environment variables that it is configured with.", default={}
    )
    tools: tuple[Name, ...] = item("Packages of wheels that the assembly's own scripts use.", default=())
    bytecode: Literal["none", "unchecked-hash"] = item("Bytecode to ship beside each module.", default="none")
    strip: bool = item("Whether symbols that loading does not need are dropped.", default=True)
    private: tuple[str, ...] = item(
        "Libraries of the function that get a name of their own, because the runtime has an older one of that name.",
        default=(),
    )
    lower: tuple[RelativePath, ...] = item(
        "Prebuilt libraries whose symbol references are lowered to the runtime's versions.", default=()
    )
    loaded_before: tuple[str, ...] = item(
        "Libraries that Python has loaded, by another module, before the modules that need them.", default=()
    )
    audit: Audit = item("What `audit` is told of it.", default=Audit())


@dataclass(frozen=True, kw_only=True, slots=True)
class Invocation:
    """A smoke test: an invocation through AWS's runtime interface emulator, with the layers at `/opt`."""

    name: Name = item("The test's name.")
    event: Mapping[str, Any] = item("What the function is invoked with.", default={})
    expect: Mapping[str, Any] = item("What it must answer.", default={})
    time: Seconds = item("How long it may take.", default=SMOKE_SECONDS, example='"5 min"')


@dataclass(frozen=True, kw_only=True, slots=True)
class FunctionLayer(LayerRecipe):
    """A function seen as the layer that it is assembled like, with its own layers as those that it is used with.

    Whatever holds for layers holds for it: of the two, only the place on Lambda differs, `/var/task` for `/opt`.
    """

    handler: str
    variables: Mapping[str, str]
    invocations: tuple[Invocation, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class FunctionRecipe:
    """`recipes/functions/NAME.toml`: what a function's zip holds, and which layers the function runs with."""

    function: AboutFunction = item("What the function is.")
    budget: Budget = item("What its zip may weigh.", default=Budget())
    compressor: Compressor = item("What packs it.", default=Compressor())
    prune: tuple[PruneRule, ...] = item(
        "What stays out. Patterns are those of the packages, with `python/`.", default=()
    )
    keep: tuple[KeepRule, ...] = item("What stays in all the same.", default=())
    allow_build_paths: tuple[BuildPathRule, ...] = item(
        "Where build folders may be named; anywhere else they stop the build.", default=()
    )
    smoke_tools: SmokeTools = item("What invocations need.", default=SmokeTools())
    smoke: tuple[Invocation, ...] = item("What it must answer on its runtime.", default=())
    deploy: Deploy = item("What `template` writes of it.", default=Deploy())

    @property
    def name(self) -> str:
        """The function's name."""
        return self.function.name

    def as_layer(self) -> FunctionLayer:
        """Give the function as the layer that it is assembled like."""
        about = self.function
        return FunctionLayer(
            layer=AboutLayer(
                name=about.name,
                base=about.base,
                summary=about.summary,
                runtime=about.runtime,
                architecture=about.architecture,
                environment=about.environment,
                packages=about.packages,
                with_=about.layers,
                tools=about.tools,
                bytecode=about.bytecode,
                strip=about.strip,
                private=about.private,
                lower=about.lower,
                loaded_before=about.loaded_before,
                audit=about.audit,
            ),
            budget=self.budget,
            compressor=self.compressor,
            prune=self.prune,
            keep=self.keep,
            allow_build_paths=self.allow_build_paths,
            smoke_tools=self.smoke_tools,
            handler=about.handler,
            variables=about.variables,
            invocations=self.smoke,
        )
