"""`layerlock size`: what of a layer weighs how much, what pruning saved, and what it grew by."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any, TypeVar

from layerlock.cli.help import Help
from layerlock.cli.owner import read_target

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from layerlock.audit.sizes import By, Growth, Saved, Weight
    from layerlock.cli.call import Call
    from layerlock.workflows.surveying import Read

HELP = Help(
    about="Adds up what a layer weighs, unpacked and in the zip, by package, by kind of file or file by file, and says "
    "what each prune rule left out. The layer is one that was built here, or a zip. With --against it is compared with "
    "another layer, a zip, or a past lock (LAYER@REVISION): of a past layer whose tree is still in the store "
    "everything, else what its lock records.",
    writes="nothing.",
    examples=("layerlock size cv", "layerlock size cv --by file", "layerlock size cv --against cv@HEAD~1"),
    related=("diff", "owner", "history"),
)

T = TypeVar("T")

SHOWN = 30
"""Rows that are shown without --all."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("layer", metavar="LAYER", help="a layer, or the path of a zip")
    parser.add_argument(
        "--by",
        choices=("package", "kind", "file"),
        metavar="WHAT",
        help="package (the default), kind or file",
    )
    parser.add_argument(
        "--against", metavar="OTHER", help="a layer, a zip, or LAYER@REVISION, to compare with"
    )
    parser.add_argument("--all", action="store_true", help="list every row, not the heaviest ones")


def run(call: Call) -> int:
    """Weigh."""
    from layerlock.audit.sizes import grown, saved, weigh  # noqa: PLC0415 - --help does without it

    by: By = call.option("by", "package")
    read = read_target(call, call.options.layer)
    rows = weigh(read.survey, by)
    limit = _limit(call, read)
    fields: dict[str, Any] = {"layer": read.survey.name, "by": by, "rows": [asdict(row) for row in rows]}
    if call.option("against"):
        other, note = _against(call, by)
        growth = grown(other, rows)
        fields |= {
            "against": [asdict(row) for row in other],
            "growth": [_growth_fields(row) for row in growth],
        }
        call.result(
            "\n".join(filter(None, [note, _growth_text(call, other, rows, growth)])), fields | {"note": note}
        )
        return 0
    rules = saved(read.survey.report)
    fields |= {"saved": [asdict(row) for row in rules], "limit": limit}
    call.result("\n\n".join(filter(None, [_text(call, rows, by, limit), _saved_text(rules)])), fields)
    return 0


def _limit(call: Call, read: Read) -> int | None:
    if read.recipe is None:
        return None
    return call.repository.runtime(read.recipe.layer.runtime).limits.unzipped


def _against(call: Call, by: By) -> tuple[tuple[Weight, ...], str]:
    """Weigh what is compared with; the note says what could not be told."""
    from layerlock.audit.sizes import weigh  # noqa: PLC0415 - as above

    name: str = call.options.against
    layer, at, revision = name.partition("@")
    if not at or "/" in layer or name.endswith(".zip"):
        return weigh(read_target(call, name).survey, by), ""
    from layerlock.cli.diff import history_of  # noqa: PLC0415 - as above
    from layerlock.workflows.surveying import read_past  # noqa: PLC0415 - as above

    lock = history_of(call).lock_at(layer, revision)
    with call.driver() as driver:
        return read_past(driver, lock, by)


def _text(call: Call, rows: tuple[Weight, ...], by: By, limit: int | None) -> str:
    from layerlock.ui.text import size, table  # noqa: PLC0415 - as above

    shown = _shown(call, rows)
    rest = rows[len(shown) :]
    listed = [*shown, *([_sum(f"{len(rest):,} more (--all shows them)", rest)] if rest else [])]
    total = _sum("all", rows)
    cells = [(by, "files", "unzipped", "", "zipped"), *(_cells(row, total.bytes) for row in [*listed, total])]
    made = table(cells, right=frozenset({1, 2, 3, 4}))
    return made if limit is None else f"{made}\n{size(total.bytes)} of {size(limit)} that Lambda allows"


def _sum(name: str, rows: Sequence[Weight]) -> Weight:
    from layerlock.audit.sizes import Weight  # noqa: PLC0415 - as above

    packed = [row.packed for row in rows if row.packed is not None]
    return Weight(
        name=name,
        files=sum(row.files for row in rows),
        bytes=sum(row.bytes for row in rows),
        packed=sum(packed) if len(packed) == len(rows) else None,
    )


def _cells(row: Weight, total: int) -> tuple[str, ...]:
    from layerlock.ui.text import printable, size  # noqa: PLC0415 - as above

    share = f"{100 * row.bytes / total:.0f} %" if total else ""
    zipped = size(row.packed) if row.packed is not None else ""
    return printable(row.name), f"{row.files:,}", size(row.bytes), share, zipped


def _shown(call: Call, rows: Sequence[T]) -> Sequence[T]:
    return rows if call.option("all") else rows[:SHOWN]


def _saved_text(rules: tuple[Saved, ...]) -> str:
    from layerlock.ui.text import printable, size, table  # noqa: PLC0415 - as above

    if not rules:
        return ""
    cells = [("left out by", "files", "unzipped", "")]
    cells += [(row.rule, f"{row.files:,}", size(row.bytes), printable(row.reason)) for row in rules]
    cells.append(("all", f"{sum(r.files for r in rules):,}", size(sum(r.bytes for r in rules)), ""))
    return table(cells, right=frozenset({1, 2}))


def _growth_text(
    call: Call, before: tuple[Weight, ...], after: tuple[Weight, ...], growth: tuple[Growth, ...]
) -> str:
    from layerlock.audit.sizes import Growth  # noqa: PLC0415 - as above
    from layerlock.ui.text import printable, size, table  # noqa: PLC0415 - as above

    whole = Growth(name="all", before=_sum("all", before), after=_sum("all", after))
    if not growth:
        return f"nothing weighs more or less: {size(sum(row.bytes for row in after))}"
    shown = _shown(call, growth)
    cells: list[tuple[str, ...]] = [("", "before", "after", "unzipped", "zipped")]
    for row in [*shown, whole]:
        sides = tuple(size(side.bytes) if side else "none" for side in (row.before, row.after))
        zipped = f"{row.packed:+,}" if row.packed is not None else ""
        cells.append((printable(row.name), *sides, f"{row.bytes:+,}", zipped))
    if len(growth) > len(shown):
        cells.insert(-1, (f"{len(growth) - len(shown):,} more (--all shows them)", "", "", "", ""))
    return table(cells, right=frozenset({1, 2, 3, 4}))


def _growth_fields(row: Growth) -> dict[str, Any]:
    return {**asdict(row), "bytes": row.bytes, "packed": row.packed}
