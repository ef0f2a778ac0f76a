"""Bills of materials in the two formats that the world reads, and the reading of one that came from somewhere."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final, Literal, get_args

from layerlock.audit.inventory import Inventory
from layerlock.errors import BadAdvisories

Format = Literal["cyclonedx", "spdx"]
FORMATS: Final[tuple[Format, ...]] = get_args(Format)
LARGEST: Final = 64 << 20
"""Bytes of a document that is read; the layer cv has some 300 kB."""


def write_sbom(inventory: Inventory, form: Format) -> str:
    """Write a layer's bill of materials, JSON that is valid under its schema; equal inventories give equal text.

    Raises:
        InvalidRecipe: a recipe states what the format does not take, such as a licence that SPDX does not know.
    """
    # Either library takes half a second to load.
    if form == "cyclonedx":
        from layerlock.audit.sbom_cyclonedx import document  # noqa: PLC0415

        return dump(document(inventory))
    from layerlock.audit.sbom_spdx import document as spdx  # noqa: PLC0415

    return dump(spdx(inventory))


def dump(document: Any) -> str:
    """Spell a document: JSON with an indent of two, keys in the order that they were put in."""
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def check_sbom(path: Path) -> Format:
    """Hold a document from anywhere against the schema of its format, and give that.

    Raises:
        BadAdvisories: it is no such document, or too large; what the validator says first is told.
    """
    document = read_document(path)
    match document:
        case {"bomFormat": "CycloneDX", "specVersion": str(version)}:
            from layerlock.audit.sbom_cyclonedx import problem  # noqa: PLC0415

            form: Format = "cyclonedx"
            wrong = problem(json.dumps(document), version)
        case {"spdxVersion": str()}:
            from layerlock.audit.sbom_spdx import problem_of  # noqa: PLC0415

            form, wrong = "spdx", problem_of(document)
        case _:
            raise BadAdvisories(
                f"{path} is neither a CycloneDX nor an SPDX document",
                hint="JSON with `bomFormat` or `spdxVersion` at its top is read",
            )
    if wrong is not None:
        raise BadAdvisories(f"{path} is not valid {form}: {wrong}")
    return form


def read_document(path: Path) -> dict[str, Any]:
    """Read a JSON object out of a file.

    Raises:
        BadAdvisories: it cannot be read, is too large, or is no JSON object.
    """
    try:
        with path.open("rb") as file:
            data = file.read(LARGEST + 1)
    except OSError as error:
        raise BadAdvisories(f"{path} cannot be read: {error.strerror}") from None
    if len(data) > LARGEST:
        raise BadAdvisories(f"{path} has more than {LARGEST >> 20} MiB, too much for a bill of materials")
    return json_object(data, str(path))


def json_object(data: bytes, shown: str) -> dict[str, Any]:
    """Parse a JSON object from elsewhere; `shown` is what messages call it.

    Raises:
        BadAdvisories: it is none, or nested beyond reason.
    """
    try:
        document = json.loads(data)
    except RecursionError:
        raise BadAdvisories(f"{shown} is nested too deeply") from None
    except ValueError as error:
        raise BadAdvisories(f"{shown} is not JSON: {str(error)[:200]}") from None
    if not isinstance(document, dict):
        raise BadAdvisories(f"{shown} holds no JSON object")
    return document
