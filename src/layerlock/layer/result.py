"""What came of a layer: the reports that assembly, packing and smoke tests left beside their outputs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from layerlock.errors import OverBudget, StoreError
from layerlock.model.layer import LayerRecipe
from layerlock.model.runtime import RuntimeRecipe


@dataclass(frozen=True, kw_only=True, slots=True)
class LayerZip:
    """A packed layer in the store. Sizes in bytes; `report` is what assembly said."""

    name: str
    path: Path
    sha256: str
    size: int
    unzipped: int
    report: Mapping[str, Any]

    @property
    def warnings(self) -> tuple[str, ...]:
        """What assembly found worth a look."""
        findings = self.report.get("findings", ())
        return tuple(str(f["message"]) for f in findings if f.get("severity") == "warning")


def read_zip(name: str, zip_output: Path, tree_output: Path) -> LayerZip:
    """Read what packing and assembly reported.

    Raises:
        StoreError: a report is not there or not readable.
    """
    packed, assembled = _report(zip_output), _report(tree_output)
    return LayerZip(
        name=name,
        path=zip_output / str(packed["name"]),
        sha256=str(packed["sha256"]),
        size=int(packed["size"]),
        unzipped=int(packed["unzipped"]),
        report=assembled,
    )


def check_size(layer: LayerZip, recipe: LayerRecipe, runtime: RuntimeRecipe) -> None:
    """Hold a zip against the layer's budget and Lambda's limit.

    Raises:
        OverBudget: it is too large; the largest packages and files are named.
    """
    rules = (
        ("unzipped", layer.unzipped, recipe.budget.unzipped, "the layer's budget"),
        ("unzipped", layer.unzipped, runtime.limits.unzipped, "Lambda's limit"),
        ("zipped", layer.size, recipe.budget.zipped, "the layer's budget"),
    )
    for what, size, allowed, called in rules:
        if allowed is not None and size > allowed:
            rows = (("package", "name", "packages"), ("file", "path", "largest"))
            largest = "".join(
                f"\n  {row['bytes'] / 1e6:8.2f} MB  {kind} {row[key]}"
                for kind, key, table in rows
                for row in layer.report.get(table, ())[:10]
            )
            raise OverBudget(
                f"{layer.name} has {size / 1e6:.1f} MB {what}, over {called} of {allowed / 1e6:.1f} MB{largest}",
                hint="prune more, or raise the budget in the layer's recipe",
            )


def _report(output: Path) -> Mapping[str, Any]:
    try:
        report: Mapping[str, Any] = json.loads((output / "report.json").read_bytes())
    except (OSError, ValueError) as error:
        raise StoreError(
            f"the report in {output} cannot be read: {error}", hint="run: layerlock verify"
        ) from error
    return report


def unzipped_size(tree_output: Path) -> int:
    """Give the bytes of a layer's files, as its assembly reported them.

    Raises:
        StoreError: the report is not there or not readable.
    """
    return int(_report(tree_output)["unzipped"])
