"""`layerlock sbom`: a layer's bill of materials."""

from __future__ import annotations

from typing import TYPE_CHECKING

from layerlock.cli.help import Help
from layerlock.cli.targets import check_layer

if TYPE_CHECKING:
    import argparse

    from layerlock.cli.call import Call

HELP = Help(
    about="Writes what a layer is made of, as scanners and auditors read it: every package, Debian package and bundled "
    "library with its version, licence, package URL, hashes, patches and origin, and all that it was built with. "
    "It is made of the recipes and the lock; nothing is built or fetched. The same lock gives the same document. With "
    "--check a document from anywhere is held against its format's schema instead, and compared with the layer's own.",
    writes="nothing but the file that --out names; without it the document goes to standard output.",
    examples=(
        "layerlock sbom cv --out dist/cv.cdx.json",
        "layerlock sbom cv --format spdx --out dist/cv.spdx.json",
        "layerlock sbom cv --check dist/cv.cdx.json",
    ),
    related=("show", "attest", "diff"),
)

FORMATS = ("cyclonedx", "spdx")
"""The formats; `audit.sbom.FORMATS` has the same, and is slower to load."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("layer", metavar="LAYER", help="a layer with a lock")
    parser.add_argument(
        "--format",
        choices=FORMATS,
        metavar="FORMAT",
        help="cyclonedx (1.6, the default) or spdx (2.3), both JSON",
    )
    group = parser.add_mutually_exclusive_group()
    group.add_argument("--out", metavar="FILE", help="where the document goes")
    group.add_argument(
        "--check", metavar="FILE", help="a document to check and to compare with the layer's own"
    )


def run(call: Call) -> int:
    """Write or check a document."""
    layer = call.options.layer
    check_layer(call.repository, layer)
    if call.option("check") is not None:
        return _check(call, layer)
    form = call.option("format", "cyclonedx")
    text = _document(call, layer, form)
    fields = {"layer": layer, "format": form}
    named = call.option("out")
    if named is None:
        if call.lines is not None:
            call.result("", {**fields, "document": text})
        else:
            call.stdout.write(text)
        return 0
    from layerlock.io.atomic import write_bytes  # noqa: PLC0415 - only for --out

    path = call.current / named
    path.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(path, text.encode())
    call.result(f"{call.shown(path)}\n  {form} of {layer}", {**fields, "path": str(path)})
    return 0


def _check(call: Call, layer: str) -> int:
    from layerlock.audit.sbom import check_sbom  # noqa: PLC0415 - --help does without it

    path = call.current / call.options.check
    form = check_sbom(path)
    same = path.read_text(encoding="utf-8") == _document(call, layer, form)
    told = f"that of {layer} as it is locked now" if same else f"not that of {layer} as it is locked now"
    call.result(f"{call.shown(path)} is valid {form}, {told}", {"layer": layer, "format": form, "same": same})
    return 0 if same else 1


def _document(call: Call, layer: str, form: str) -> str:
    from layerlock.workflows.documents import bill_of_materials  # noqa: PLC0415 - as above

    with call.driver() as driver:
        return bill_of_materials(driver, layer, "spdx" if form == "spdx" else "cyclonedx")
