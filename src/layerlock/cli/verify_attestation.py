"""`layerlock verify-attestation`: checking a signed statement of where a zip comes from."""

from __future__ import annotations

from typing import TYPE_CHECKING

from layerlock.cli.help import Help

if TYPE_CHECKING:
    import argparse

    from layerlock.cli.call import Call

HELP = Help(
    about="Checks that a DSSE envelope was signed by the owner of an ed25519 key, holds an in-toto statement with "
    "SLSA's provenance, and speaks of a zip, where one is given. It needs no recipe repository and no store.",
    writes="nothing.",
    examples=("layerlock verify-attestation dist/cv.intoto.dsse.json --key key.pub --zip dist/cv.zip",),
    related=("attest", "sbom"),
)


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("file", metavar="FILE", help="the envelope")
    parser.add_argument("--key", metavar="KEY", required=True, help="an ed25519 public key in PEM")
    parser.add_argument("--zip", metavar="ZIP", help="the zip that it must speak of")


def run(call: Call) -> int:
    """Check."""
    from layerlock.audit.dsse import read_public_key  # noqa: PLC0415 - --help does without it
    from layerlock.cli.attest import read_key  # noqa: PLC0415 - as above
    from layerlock.ui.text import printable  # noqa: PLC0415 - as above
    from layerlock.workflows.documents import verify  # noqa: PLC0415 - as above

    key = read_public_key(read_key(call, call.options.key), call.options.key)
    named = call.option("zip")
    said = verify(call.current / call.options.file, key, call.current / named if named is not None else None)
    subjects = [f"  {printable(name)} {printable(sha256)}" for name, sha256 in sorted(said.subjects.items())]
    lines = [
        f"signed by {said.key}",
        *subjects,
        f"  layer {printable(said.layer) or '-'}, lock {printable(said.lock) or '-'}, "
        f"builder {printable(said.builder) or '-'}",
    ]
    if named is None:
        lines.append("  no zip was compared: --zip ZIP does")
    call.result(
        "\n".join(lines),
        {
            "key": said.key,
            "subjects": dict(said.subjects),
            "layer": said.layer,
            "lock": said.lock,
            "builder": said.builder,
            "zip": named,
        },
    )
    return 0
