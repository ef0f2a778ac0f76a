"""`layerlock graph`: what a layer is made of, drawn by Graphviz or Mermaid."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from layerlock.cli.help import Help
from layerlock.cli.targets import check_layer, check_target

if TYPE_CHECKING:
    import argparse

    from layerlock.audit.graphs import Graph
    from layerlock.cli.call import Call

HELP = Help(
    about="Writes a graph as text, for Graphviz (the default) or for Mermaid, which GitHub draws in Markdown. Of "
    "derivations: what each is built from, with its version and planned hash; the layer need not be built. Of "
    "libraries: what the modules of each package and the libraries of a built layer need of each other and of the "
    "runtime, the number of modules at the arrow.",
    writes="nothing; the graph goes to standard output.",
    examples=(
        "layerlock graph cv | dot -Tsvg > cv.svg",
        "layerlock graph cv --format mermaid",
        "layerlock graph cv --of libraries",
    ),
    related=("why", "show", "size"),
)


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("name", metavar="NAME", help="a layer; of derivations, a package too")
    parser.add_argument(
        "--format", choices=("dot", "mermaid"), metavar="FORMAT", help="dot (the default) or mermaid"
    )
    parser.add_argument(
        "--of",
        choices=("derivations", "libraries"),
        metavar="WHAT",
        help="derivations (the default) or libraries",
    )


def run(call: Call) -> int:
    """Write the graph."""
    from layerlock.audit.graphs import as_dot, as_mermaid  # noqa: PLC0415 - --help does without it

    graph = _libraries(call) if call.option("of") == "libraries" else _derivations(call)
    text = as_mermaid(graph) if call.option("format") == "mermaid" else as_dot(graph)
    call.result(text, asdict(graph))
    return 0


def _derivations(call: Call) -> Graph:
    from layerlock.audit.graphs import graph_of_plan  # noqa: PLC0415 - as above
    from layerlock.workflows.planning import load  # noqa: PLC0415 - as above

    check_target(call.repository, call.options.name)
    with call.driver() as driver:
        return graph_of_plan(call.options.name, load(driver, call.options.name).plan)


def _libraries(call: Call) -> Graph:
    from layerlock.audit.graphs import graph_of_libraries  # noqa: PLC0415 - as above
    from layerlock.errors import UsageError  # noqa: PLC0415 - as above
    from layerlock.workflows.surveying import read_layer  # noqa: PLC0415 - as above

    check_layer(call.repository, call.options.name)
    with call.driver() as driver:
        survey = read_layer(driver, call.options.name).survey
    if survey.loader is None:
        raise UsageError(
            f"nobody has listed what the runtime of {survey.name} offers", hint="add `exports` to its recipe"
        )
    return graph_of_libraries(survey, survey.loader)
