"""Graphs as text: names that would end a string, or become markup, stay names."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from layerlock.audit.graphs import Edge, Graph, Vertex, as_dot, as_mermaid

NASTY = 'a"];\\b<script>#quot;&\n]'
GRAPH = Graph(
    title=NASTY,
    vertices=(
        Vertex(name=NASTY, label=(NASTY, "1.0", ""), shape="library"),
        Vertex(name="plain", label=("plain",), shape="package"),
    ),
    edges=(Edge(start="plain", end=NASTY, label=NASTY), Edge(start=NASTY, end="plain")),
)


def test_dot_escapes_quotes_and_backslashes() -> None:
    """Four lines of content, each a statement; the line break in a label is Graphviz' own escape."""
    lines = as_dot(GRAPH).split("\n")
    assert lines[0] == r'digraph "a\"];\\b<script>#quot;& ]" {'
    assert lines[3] == r'  "a\"];\\b<script>#quot;& ]" [label="a\"];\\b<script>#quot;& ]\n1.0", shape=note];'
    assert lines[-2] == r'  "a\"];\\b<script>#quot;& ]" -> "plain";'
    assert lines[-1] == "}"


def test_mermaid_has_no_markup_but_its_own() -> None:
    """Names become entity codes; vertices are numbered, so that no name is an identifier."""
    lines = as_mermaid(GRAPH).split("\n")
    assert lines[0] == "flowchart LR"
    nasty = "a#quot;];\\b#lt;script#gt;#35;quot;#amp; ]"
    assert lines[1] == f'  n0(["{nasty}<br/>1.0"])'
    assert lines[3:] == [f'  n1 -->|"{nasty}"| n0', "  n0 --> n1"]


@pytest.mark.skipif(shutil.which("dot") is None, reason="Graphviz is not installed here")
def test_graphviz_reads_it() -> None:
    """The program itself, where it is installed."""
    done = subprocess.run(
        ["dot", "-Tplain"], input=as_dot(GRAPH), capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.count("\nnode ") == 2
    assert done.stdout.count("\nedge ") == 2
