"""Graphs of what a layer is made of, and of what its libraries need, as text for Graphviz and for Mermaid.

Sources: Graphviz' DOT language (quoted strings: `"` and `\\` are escaped), Mermaid's flowchart syntax (labels in
quotes, entity codes such as `#quot;` for what would end them).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from layerlock.audit.loading import Loader
from layerlock.audit.survey import Survey
from layerlock.model.derivation import Transform
from layerlock.plan.resolve import Plan

Shape = Literal["layer", "package", "environment", "runtime", "library"]

_DOT: Final[dict[Shape, str]] = {
    "layer": "shape=box3d",
    "package": "shape=box",
    "environment": "shape=folder",
    "runtime": "shape=component, style=dashed",
    "library": "shape=note",
}
_MERMAID: Final[dict[Shape, tuple[str, str]]] = {
    "layer": ("[[", "]]"),
    "package": ("[", "]"),
    "environment": ("[(", ")]"),
    "runtime": ("{{", "}}"),
    "library": ("([", "])"),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Vertex:
    """A node: its name, which is its identity, the lines of its label, and what it is."""

    name: str
    label: tuple[str, ...]
    shape: Shape


@dataclass(frozen=True, kw_only=True, slots=True)
class Edge:
    """An arrow from what needs something to what it needs."""

    start: str
    end: str
    label: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Graph:
    """Vertices and edges, in the order in which they are written."""

    title: str
    vertices: tuple[Vertex, ...]
    edges: tuple[Edge, ...]


def graph_of_plan(title: str, plan: Plan) -> Graph:
    """Draw derivations: what each is built from. Environments that everything is built in are drawn as any input."""
    vertices = []
    edges = []
    for derivation in plan.derivations:
        transform = isinstance(derivation.action, Transform)
        shape: Shape = "environment" if transform else "package"
        if derivation.name.startswith(("layer-", "function-")):
            shape = "layer"
        label = (derivation.name, *((derivation.version,) if derivation.version else ()))
        vertices.append(
            Vertex(name=derivation.name, label=(*label, plan.planned[derivation.name][:12]), shape=shape)
        )
        for given in derivation.inputs:
            label_of_edge = given.mount or "root"
            edges.append(
                Edge(
                    start=derivation.name,
                    end=given.name,
                    label="" if label_of_edge == f"/deps/{given.name}" else label_of_edge,
                )
            )
    return Graph(title=title, vertices=tuple(vertices), edges=tuple(edges))


def graph_of_libraries(survey: Survey, loader: Loader) -> Graph:
    """Draw what a layer's objects need of each other and of the runtime; a package's modules are one vertex."""
    modules: dict[str, list[str]] = {}
    libraries: dict[str, None] = {}
    for path in sorted(loader.objects):
        if loader.users.get(path):
            libraries[path] = None
        else:
            modules.setdefault(survey.package(path) or survey.name, []).append(path)
    owner = {path: package for package, paths in modules.items() for path in paths}
    counted: dict[tuple[str, str], int] = {}
    runtime: dict[str, None] = {}
    for path, needs in sorted(loader.edges.items()):
        for name, found in needs.items():
            end = found.path or found.name if found is not None else f"{name} (missing)"
            if found and found.path and found.path not in loader.objects:
                libraries[end] = None  # a layer's beneath
            if not (found and found.path):
                runtime[end] = None
            start = owner.get(path, path)
            counted[start, end] = counted.get((start, end), 0) + 1
    vertices = (
        *(
            Vertex(name=package, label=(package, _modules(len(paths))), shape="package")
            for package, paths in sorted(modules.items())
        ),
        *(Vertex(name=path, label=(path, survey.package(path)), shape="library") for path in libraries),
        *(Vertex(name=name, label=(name, loader.platform.name), shape="runtime") for name in sorted(runtime)),
    )
    edges = tuple(
        Edge(start=start, end=end, label=str(count) if count > 1 else "")
        for (start, end), count in sorted(counted.items())
    )
    return Graph(title=survey.name, vertices=vertices, edges=edges)


def _modules(count: int) -> str:
    return f"{count} module" if count == 1 else f"{count} modules"


def as_dot(graph: Graph) -> str:
    """Write a graph for Graphviz (`dot -Tsvg`)."""
    lines = [f"digraph {_quoted(graph.title)} {{", "  rankdir=LR;", "  node [fontname=Helvetica];"]
    lines += [
        f"  {_quoted(v.name)} [label={_quoted(*filter(None, v.label))}, {_DOT[v.shape]}];"
        for v in graph.vertices
    ]
    lines += [
        f"  {_quoted(e.start)} -> {_quoted(e.end)}" + (f" [label={_quoted(e.label)}];" if e.label else ";")
        for e in graph.edges
    ]
    return "\n".join([*lines, "}"])


def as_mermaid(graph: Graph) -> str:
    """Write a graph as a Mermaid flowchart, as GitHub draws it in Markdown."""
    number = {vertex.name: f"n{index}" for index, vertex in enumerate(graph.vertices)}
    lines = ["flowchart LR"]
    for vertex in graph.vertices:
        left, right = _MERMAID[vertex.shape]
        label = "<br/>".join(_entities(line) for line in vertex.label if line)
        lines.append(f'  {number[vertex.name]}{left}"{label}"{right}')
    for edge in graph.edges:
        label = f'|"{_entities(edge.label)}"|' if edge.label else ""
        lines.append(f"  {number[edge.start]} -->{label} {number[edge.end]}")
    return "\n".join(lines)


def _quoted(*lines: str) -> str:
    escaped = (line.replace("\\", "\\\\").replace('"', '\\"').replace("\n", " ") for line in lines)
    return '"' + "\\n".join(escaped) + '"'


def _entities(text: str) -> str:
    codes = {"#": "#35;", '"': "#quot;", "<": "#lt;", ">": "#gt;", "&": "#amp;", "\n": " "}
    return "".join(codes.get(character, character) for character in text)
