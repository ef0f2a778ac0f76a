"""`layerlock arn`: what was published of a layer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from layerlock.cli.help import Help
from layerlock.cli.targets import check_layer
from layerlock.errors import UsageError

if TYPE_CHECKING:
    import argparse

    from layerlock.cli.call import Call

HELP = Help(
    about="Prints the ARN of a layer's newest published version, for each account and region, out of "
    "lockfiles/published.toml; AWS is not asked. A version whose zip is not the one of today's lock is marked.",
    writes="nothing.",
    examples=("layerlock arn cv", "layerlock arn cv --region eu-west-1"),
    related=("publish", "template"),
)


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("layer", metavar="LAYER", help="the layer")
    parser.add_argument("--region", metavar="REGION", help="only of this region")
    parser.add_argument("--account", metavar="ID", help="only of this account")
    parser.add_argument("--all", action="store_true", help="older versions too")


def run(call: Call) -> int:
    """Print ARNs."""
    from layerlock.io.lockfile import read_lock  # noqa: PLC0415 - --help does without it
    from layerlock.publish.record import read_published  # noqa: PLC0415 - as above

    layer = call.options.layer
    check_layer(call.repository, layer)
    region, account = call.option("region"), call.option("account")
    found = [
        entry
        for entry in read_published(call.root).of(layer)
        if region in (None, entry.region) and account in (None, entry.account)
    ]
    if not call.option("all"):
        found = [*{entry.arn.rpartition(":")[0]: entry for entry in found}.values()]
    if not found:
        where = " there" if region or account else ""
        raise UsageError(
            f"`{layer}` was not published{where}", hint=f"run: layerlock publish {layer} --dry-run"
        )
    path = call.repository.lock_path(layer)
    lock = read_lock(path, layer) if path.is_file() else None
    current = lock.zip.sha256 if lock is not None and lock.zip is not None else None
    lines = [
        entry.arn if entry.zip == current else f"{entry.arn}  (not the zip of the lock)" for entry in found
    ]
    rows = [
        {
            "arn": entry.arn,
            "region": entry.region,
            "account": entry.account,
            "zip": entry.zip,
            "current": entry.zip == current,
        }
        for entry in found
    ]
    call.result("\n".join(lines), {"layer": layer, "arns": rows})
    return 0
