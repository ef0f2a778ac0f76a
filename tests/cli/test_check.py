"""`layerlock check` as far as it goes without a build: mistakes, the list, and how results are written."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from layerlock.cli.checks import NOT_DETERMINISTIC, check_fields, check_text
from layerlock.events import Checked, CheckStarted
from layerlock.reproduce.judging import Attempt, Judged, Standing, Verdict
from layerlock.reproduce.variations.catalogue import NAMES, Availability
from layerlock.ui.lines import describe
from layerlock.workflows.checking import Check, Kept
from tests.cli.conftest import Run


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "error: the name of a layer or a package is missing\n"),
        (("nothing",), "error: there is no layer, no function and no package `nothing`"),
        (("library", "--vary", "moon"), "error: there is no variation `moon`\nhint: one of: address-space, "),
        (("library", "--vary", "all", "clock"), "error: `all` stands for itself alone\n"),
        (("library", "program"), "error: `library` has no derivation `program` that can be checked\n"),
        (("library", "--python", "nowhere"), "error: there is no interpreter "),
    ],
)
def test_mistakes(layerlock: Run, arguments: tuple[str, ...], said: str) -> None:
    done = layerlock("check", *arguments)
    assert done.returncode == 2
    assert done.stderr.startswith(said)


def test_what_was_never_built_ends_with_a_code_of_its_own(layerlock: Run) -> None:
    done = layerlock("check", "program", "--vary", "none")
    assert done.returncode == 27
    assert "program            inconclusive  its input " in done.stdout
    assert "error: the check of program: 3 inconclusive of 3 derivations\n" in done.stderr


def test_the_list_tells_of_every_variation(layerlock: Run) -> None:
    done = layerlock("check", "--list", "--json")
    assert done.returncode == 0
    listed = json.loads(done.stdout)["variations"]
    assert tuple(each["name"] for each in listed) == NAMES
    assert {each["reach"] for each in listed} == {"builds", "driver", "both"}
    assert layerlock("check", "--list").stdout.startswith("jobs ")


def test_the_verb_that_checks_start_is_in_no_help_and_wants_orders(layerlock: Run, tmp_path: Path) -> None:
    assert "rebuild  " not in layerlock("--help").stdout
    orders = tmp_path / "orders"
    orders.write_text("{}")
    for path in (orders, tmp_path / "nowhere"):
        done = layerlock("rebuild", str(path))
        assert done.returncode == 2
        assert "holds no orders" in done.stderr


def judged(
    name: str, verdict: Verdict, *, reason: str = "", causes: tuple[tuple[str, ...], ...] = ()
) -> Judged:
    """Make up a verdict over one attempt under two variations."""
    attempt = Attempt(
        variations=("jobs", "clock"), verdict=verdict, output="sha256-x", reason=reason, missing=()
    )
    standing = Standing(name=name, planned="0" * 64, recorded="sha256-y", stored="sha256-y")
    return Judged(standing=standing, verdict=verdict, reason=reason, attempts=(attempt,), causes=causes)


CHECK = Check(
    target="cv",
    variations=(
        Availability(name="jobs", changes="more", reach="both", obstacle=""),
        Availability(
            name="user", changes="another", reach="driver", obstacle="the driver is not run by root"
        ),
    ),
    groups=(("jobs", "clock"),),
    derivations=(
        judged("zlib", "match"),
        judged("numpy", "mismatch", reason="rebuilt sha256-x", causes=(("clock",), ("jobs", "umask"))),
        judged("scipy", "mismatch", reason="rebuilt sha256-x", causes=((),)),
        judged("opencv", "inconclusive", reason="its input numpy is not in the store: build it first"),
    ),
    kept={"numpy": Kept(rebuilt=Path("/kept/rebuilt"), stored=Path("/kept/stored"), comparison=None)},
    seconds=61.5,
)


def test_the_table_says_what_and_why() -> None:
    lines = check_text(CHECK).splitlines()
    assert lines[:4] == [
        "zlib    match",
        "numpy   mismatch      caused by clock or jobs with umask",
        f"scipy   mismatch      {NOT_DETERMINISTIC}",
        "opencv  inconclusive  its input numpy is not in the store: build it first",
    ]
    assert "  stored   /kept/stored" in lines
    assert lines[-2:] == [
        "4 derivations in 1 run, 1 min 02 s; varied: clock, jobs",
        "not varied: user (the driver is not run by root)",
    ]


def test_the_same_for_programs() -> None:
    fields = json.loads(json.dumps(check_fields(CHECK)))
    assert (fields["matched"], fields["runs"]) == (False, [["jobs", "clock"]])
    numpy, scipy = fields["derivations"][1:3]
    assert (numpy["causes"], numpy["deterministic"]) == ([["clock"], ["jobs", "umask"]], True)
    assert (scipy["causes"], scipy["deterministic"]) == ([[]], False)
    assert numpy["kept"] == {"rebuilt": "/kept/rebuilt", "stored": "/kept/stored"}
    assert numpy["attempts"][0]["verdict"] == "mismatch"


def test_events_in_words() -> None:
    begun = describe(CheckStarted(name="cv", derivations=("a", "b"), variations=("jobs",)))
    plain = describe(CheckStarted(name="cv", derivations=("a",), variations=()))
    bad = describe(Checked(name="a", verdict="mismatch", reason="rebuilt x\nand more"))
    good = describe(Checked(name="a", verdict="match", reason=""))
    assert str(begun) == "check    cv: 2 derivations under jobs"
    assert str(plain) == "check    cv: 1 derivation without variations"
    assert str(bad) == "mismatch a: rebuilt x"
    assert str(good) == "match    a"
    assert bad is not None
    assert bad.importance == "trouble"
