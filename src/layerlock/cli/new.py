"""`layerlock new`: a recipe started from the index."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from layerlock.cli.arguments import add_offline
from layerlock.cli.help import Help

if TYPE_CHECKING:
    import argparse

    from layerlock.cli.call import Call
    from layerlock.sources.fetch import Reach
    from layerlock.workflows.starting import Started

HELP = Help(
    about="Starts a recipe from the index that pip is configured with: the newest version that the requirement names "
    "and the runtime's Python can use, pinned by its sha256, with the licence, summary and home page of its metadata. "
    "A project of pure Python is taken as its wheel, with the wheels that it needs. Anything else is compiled from its "
    "source distribution: what its build needs is read out of pyproject.toml, nothing of it is run, and pinned as a "
    "package of build tools. With --wheel the project's own wheel is taken. The package goes into a layer, a new one "
    "or the one that --layer names, with a smoke test that imports it, and the layer is locked. Nothing is "
    "overwritten, and if anything fails nothing is written.",
    writes="recipes/packages/, recipes/smoke/, recipes/layers/LAYER.toml and lockfiles/LAYER.lock.",
    examples=(
        "layerlock new idna==3.10",
        "layerlock new 'msgpack>=1.1,<2' --layer messages --runtime python3.11",
        "layerlock new orjson --wheel --architecture arm64 --runtime python3.9",
    ),
    related=("lock", "build", "update", "resolve"),
)


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("requirement", metavar="REQUIREMENT", help="a project, with versions as pip has them")
    parser.add_argument(
        "--layer",
        metavar="LAYER",
        help="the layer that is to hold it, there or new; else one of its own name",
    )
    parser.add_argument(
        "--runtime", metavar="RUNTIME", help="the runtime of a new layer; the newest Python if left out"
    )
    parser.add_argument(
        "--architecture",
        choices=("x86_64", "arm64"),
        help="the processor of a new layer, x86_64 if left out; for arm64 only wheels can be had",
    )
    parser.add_argument(
        "--environment",
        metavar="ENVIRONMENT",
        help="what to compile in; one that fits the runtime if left out",
    )
    parser.add_argument(
        "--name",
        metavar="PACKAGE",
        help="the package's name; the project's if left out, with its version where another one is there",
    )
    kind = parser.add_mutually_exclusive_group()
    kind.add_argument(
        "--wheel", dest="only", action="store_const", const="wheel", help="take a wheel, compiled or not"
    )
    kind.add_argument(
        "--source", dest="only", action="store_const", const="source", help="take the source, pure or not"
    )
    add_offline(parser)


def run(call: Call) -> int:
    """Start the recipes, and say what to do next."""
    from layerlock.workflows.choosing import Wanted  # noqa: PLC0415 - --help does without them
    from layerlock.workflows.starting import start  # noqa: PLC0415 - as above

    def reach() -> Reach:
        from layerlock.cli.reach import make_reach  # noqa: PLC0415 - brings `requests` in

        return make_reach(call.settings)

    wanted = Wanted(
        requirement=call.options.requirement,
        package=call.option("name", ""),
        layer=call.option("layer", ""),
        runtime=call.option("runtime", ""),
        architecture=call.option("architecture", "x86_64"),
        environment=call.option("environment", ""),
        only=call.option("only"),
    )
    with call.driver() as driver:
        started = start(driver, wanted, reach)
    call.result(_told(started), asdict(started))
    return 0


def _told(started: Started) -> str:
    kind = "a wheel" if started.kind == "wheel" else "its source"
    version = "" if started.package.endswith(f"-{started.version}") else f" {started.version}"
    parts = [f"{started.package}{version}, from {kind}: {started.file}"]
    if started.certain:
        parts.append(f"  licence: {started.licence}")
    else:
        parts.append(
            "  licence: not told by its metadata in a way that SPDX knows; look it up and correct `license`"
        )
    parts += [f"  wrote {file}" for file in started.files]
    if started.needs:
        parts.append("it needs, and the layer may lack:")
        parts += [f"  {need}" for need in started.needs]
    parts.append(f"next: layerlock build {started.layer}; layerlock record {started.layer}")
    return "\n".join(parts)
