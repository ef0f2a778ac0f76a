"""`layerlock attest`: signing where a layer's zip comes from."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from layerlock.cli.help import Help
from layerlock.cli.targets import check_layer
from layerlock.errors import UsageError

if TYPE_CHECKING:
    import argparse

    from layerlock.cli.call import Call

HELP = Help(
    about="Signs the statement of where a layer's zip comes from (in-toto, with SLSA's provenance: the lock, every "
    "derivation, every source by hash) with an ed25519 key, in a DSSE envelope. The zip must be the one that the "
    "lock records. The same zip, lock and key give the same envelope. LAYERLOCK_KEY_PASSWORD holds the key's "
    "password, where it has one.",
    writes="LAYER.intoto.json and LAYER.intoto.dsse.json beside the zip.",
    examples=(
        "layerlock attest cv --key key.pem",
        "openssl genpkey -algorithm ed25519 -out key.pem      # makes a key",
        "openssl pkey -in key.pem -pubout -out key.pub        # and what others check with",
    ),
    related=("verify-attestation", "record", "sbom"),
)


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("layer", metavar="LAYER", help="a layer whose zip is recorded")
    parser.add_argument("--key", metavar="KEY", required=True, help="an ed25519 private key in PEM")
    parser.add_argument("--zip", metavar="ZIP", help="the zip; dist/LAYER.zip in the recipe repository")


def run(call: Call) -> int:
    """Sign."""
    layer = call.options.layer
    check_layer(call.repository, layer)
    from layerlock.audit.dsse import read_private_key  # noqa: PLC0415 - --help does without it
    from layerlock.workflows.documents import attest  # noqa: PLC0415 - as above

    password = call.variables.get("LAYERLOCK_KEY_PASSWORD")
    key = read_private_key(
        read_key(call, call.options.key), call.options.key, password.encode() if password else None
    )
    named = call.option("zip")
    zipped = call.current / named if named is not None else call.root / "dist" / f"{layer}.zip"
    with call.driver() as driver:
        made = attest(driver, layer, zipped, key)
    call.result(
        f"{call.shown(made.path)}\n  {zipped.name} {made.sha256}\n  signed by {made.key}",
        {
            "layer": layer,
            "path": str(made.path),
            "statement": str(made.statement),
            "sha256": made.sha256,
            "key": made.key,
        },
    )
    return 0


def read_key(call: Call, named: str) -> bytes:
    """Read the file of a key, of at most 64 kB.

    Raises:
        UsageError: it cannot be read.
    """
    path: Path = call.current / named
    try:
        with path.open("rb") as file:
            return file.read(1 << 16)
    except OSError as error:
        raise UsageError(f"the key {named} cannot be read: {error.strerror}") from None
