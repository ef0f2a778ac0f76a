"""How sizes, times, hostile text, results and errors are written."""

from __future__ import annotations

import unicodedata

import pytest

from layerlock.errors import (
    BuildFailed,
    HashMismatch,
    InvalidRecipe,
    LayerlockError,
    Location,
    StaleLock,
    UsageError,
)
from layerlock.ui.text import (
    address,
    count,
    duration,
    last_line,
    names,
    printable,
    render_error,
    render_layer,
    size,
    table,
)
from tests.ui.script import HOSTILE
from tests.ui.snapshots import check_snapshot


def test_sizes_are_decimal() -> None:
    given = (0, 999, 1000, 999_499, 999_500, 1_000_000, 37_849_113, 262_144_000, 1_234_567_890)
    assert [size(n) for n in given] == [
        "0 B",
        "999 B",
        "1 kB",
        "999 kB",
        "1.0 MB",
        "1.0 MB",
        "37.8 MB",
        "262.1 MB",
        "1.2 GB",
    ]


def test_durations() -> None:
    given = (-1.0, 0.04, 9.94, 9.96, 59.4, 59.6, 187.0, 3599.6, 3720.0)
    assert [duration(s) for s in given] == [
        "0.0 s",
        "0.0 s",
        "9.9 s",
        "10 s",
        "59 s",
        "1 min 00 s",
        "3 min 07 s",
        "1 h 00 min",
        "1 h 02 min",
    ]


def test_counts_and_names() -> None:
    assert count(1, "source") == "1 source"
    assert count(1200, "entry", "entries") == "1,200 entries"
    assert names(("a", "b"), 2) == "a, b"
    assert names(("a", "b", "c", "d"), 2) == "a, b and 2 more"


def test_table_has_columns_and_no_trailing_spaces() -> None:
    assert table((("a", "1", ""), ("bcd", "22", "x")), right=frozenset({1})) == "a     1\nbcd  22  x"
    assert table(()) == ""


def test_printable_leaves_nothing_that_a_terminal_obeys() -> None:
    shown = printable(HOSTILE)
    assert shown == "[bold red]markup[/] [link=x]l[/link] :bomb:gnp.exe tab line"
    assert not [c for c in shown if unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp")]


@pytest.mark.parametrize(
    "text",
    ["\x1b", "\x1b[", "\x1b]0;never ended", "\x1bP" + "x" * 10_000, "\x9d", "\ud800", "\x1b\x1b[31m[31m"],
)
def test_printable_copes_with_what_is_cut_off(text: str) -> None:
    assert printable(text).isprintable()


def test_printable_keeps_letters_of_all_languages() -> None:
    assert printable("Grüße, 世界, Ελλάδα \u00a0!") == "Grüße, 世界, Ελλάδα  !"


def test_last_line_is_what_a_terminal_would_show_last() -> None:
    assert last_line("10%\r20%\r30%") == "30%"
    assert last_line("done\r\x1b[K\r") == "done"
    assert last_line("  \r ") == ""
    assert len(last_line("x" * 10_000_000)) <= 4000


def test_address_hides_credentials() -> None:
    assert address("https://me:secret@host.example/x?y=a@b") == "https://host.example/x?y=a@b"
    assert address("https://host.example/@scope/x") == "https://host.example/@scope/x"


def test_layer_with_room() -> None:
    text = render_layer(
        path="dist/cv.zip",
        sha256="f" * 64,
        zipped=37_849_113,
        direct_upload=50_000_000,
        unzipped=102_117_320,
        limit=262_144_000,
        lock="confirmed by lockfiles/cv.lock",
    )
    check_snapshot("layer", text)


def test_layer_too_large_for_a_direct_upload() -> None:
    text = render_layer(
        path="dist/big.zip",
        sha256="0" * 64,
        zipped=61_000_000,
        direct_upload=50_000_000,
        unzipped=202_117_320,
        limit=262_144_000,
        lock="unconfirmed: run nox -s record -- big",
    )
    check_snapshot("layer-large", text)


ERRORS: dict[str, LayerlockError] = {
    "message": UsageError("there is no verb `biuld`"),
    "hint": StaleLock("the layer `cv` has no lock (lockfiles/cv.lock)", hint="run: nox -s lock -- cv"),
    "location": InvalidRecipe(
        "unknown key; did you mean `sha256`?",
        location=Location(file="recipes/packages/numpy.toml", line=14, path="sources[0].sha265"),
    ),
    "everything": HashMismatch(
        f"numpy/numpy has the sha256\n  {'1' * 64}, the recipe says\n  {'2' * 64}",
        hint="if the new bytes are meant,\nwrite their hash into the recipe",
        location=Location(file="recipes/packages/numpy.toml"),
    ),
    "hostile-log": BuildFailed(
        f"the build of x ended with status 1; the end of its log:\n  | {HOSTILE}\n  | \x1b[31merror:\x1b[0m no",
        hint=f"the full log: /store/{HOSTILE}",
        location=Location(file=f"recipes/packages/{HOSTILE}.toml", line=1, path=HOSTILE),
    ),
}


@pytest.mark.parametrize("name", sorted(ERRORS))
def test_errors(name: str) -> None:
    check_snapshot(f"error-{name}", render_error(ERRORS[name]))


def test_error_in_colour_differs_by_colours_alone() -> None:
    error = ERRORS["everything"]
    coloured = render_error(error, colour=True)
    assert coloured.startswith("\x1b[1;31merror:\x1b[0m ")
    plain = "\n".join(printable(line) for line in coloured.split("\n"))
    assert plain == render_error(error)
