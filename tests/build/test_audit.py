"""An audit of a layer that was really built, before and after a defect is planted in it."""

from __future__ import annotations

import datetime
from dataclasses import replace
from pathlib import Path

import pytest

from layerlock.audit.graphs import as_mermaid, graph_of_libraries
from layerlock.model.findings import Severity
from layerlock.workflows.auditing import Audited, Choice, audit_layers, collect_notices
from layerlock.workflows.building import build_layer, record_layer
from layerlock.workflows.locking import lock_layer
from layerlock.workflows.surveying import read_layer
from tests.build.conftest import Bench

pytestmark = pytest.mark.sandbox
LAYER = """
[layer]
name = "{name}"
summary = "One library, {name} of two"
runtime = "python3.9-test"
environment = "bullseye"
packages = ["{package}"]
tools = ["guest-tools"]
with = [{beneath}]
"""
CHOICE = Choice(today=datetime.date(2026, 11, 21), only=frozenset({"pins", "licences", "lint"}))


def audited(bench: Bench) -> Audited:
    """Audit the layer as it is now."""
    return audit_layers(bench.driver(), ("tiny",), CHOICE)


def test_a_built_layer_and_a_rule_that_prunes_nothing(bench: Bench, tmp_path: Path) -> None:
    lock_layer(bench.driver(), "tiny")
    record_layer(bench.driver(), "tiny", tmp_path)
    done = audited(bench)
    assert done.unbuilt == ()
    found = {(told.finding.check, told.finding.subject) for told in done.findings}
    # What is written here brings no licence texts, and the small repository has no policy.
    assert {subject for check, subject in found if check == "licence-texts"} == {
        *("gcc-runtime", "tiny-c", "tiny-cpp", "tiny-fortran", "tiny-module")
    }
    assert {check for check, _ in found} <= {
        *("licence-texts", "licence-terms", "licence-policy", "unused-recipe", "plain-http")
    }
    assert all(told.finding.severity is not Severity.ERROR for told in done.findings)

    (notices,) = collect_notices(bench.driver(), ("tiny",), CHOICE, tmp_path / "notices")
    texts = {
        path.relative_to(notices.folder).as_posix() for path in notices.folder.rglob("*") if path.is_file()
    }
    assert {"gcc-runtime/common/GPL-3", "gcc-runtime/common/LGPL-2.1", "NOTICES.md"} <= texts
    assert "gcc-runtime/debian/gcc-10-base/copyright" in texts
    assert not any(name.startswith("gcc-runtime") for name in notices.missing)

    bench.append("recipes/layers/tiny.toml", '\n[[prune]]\nname = "mistyped"\npatterns = ["**/tets/**"]\n')
    lock_layer(bench.driver(), "tiny")
    record_layer(bench.driver(), "tiny", tmp_path)
    (finding,) = [told.finding for told in audited(bench).findings if told.finding.check == "prunes-nothing"]
    assert finding.subject == "mistyped"
    assert finding.location is not None
    line = (bench.folder / finding.location.file).read_text().split("\n")[(finding.location.line or 0) - 1]
    assert line == "[[prune]]"


def test_a_layer_over_another_finds_its_libraries(bench: Bench, tmp_path: Path) -> None:
    """Its library needs one of the layer beneath: an audit looks there, as assembly does, and a graph shows it."""
    for name, package, beneath in (("low", "tiny-c", ""), ("high", "tiny-cpp", '"low"')):
        text = LAYER.format(name=name, package=package, beneath=beneath)
        (bench.folder / f"recipes/layers/{name}.toml").write_text(text)
    lock_layer(bench.driver(), "high")
    build_layer(bench.driver(), "high", tmp_path)
    choice = Choice(today=CHOICE.today, only=frozenset({"objects"}))
    done = audit_layers(bench.driver(), ("high",), choice)
    assert done.unbuilt == ()
    assert [told.finding for told in done.findings if told.finding.severity is Severity.ERROR] == []

    survey = read_layer(bench.driver(), "high").survey
    assert survey.loader is not None
    graph = graph_of_libraries(survey, survey.loader)
    assert "lib/libtiny.so.1" in {vertex.name for vertex in graph.vertices if vertex.shape == "library"}
    assert as_mermaid(graph).count("-->") == len(graph.edges)
    alone = replace(survey, beneath=()).loader
    assert alone is not None
    assert {name for needs in alone.edges.values() for name, met in needs.items() if met is None} == {
        "libtiny.so.1"
    }
