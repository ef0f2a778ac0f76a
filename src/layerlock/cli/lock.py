"""`layerlock lock`: pinning every source of a layer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from layerlock.cli.arguments import add_offline
from layerlock.cli.help import Help
from layerlock.cli.targets import check_layer
from layerlock.ui.text import count

if TYPE_CHECKING:
    import argparse

    from layerlock.cli.call import Call
    from layerlock.workflows.locking import Relocked

HELP = Help(
    about="Pins every source that a layer needs, down to the Debian packages of its build environments, and writes "
    "the layer's lock. Pins that still fit their recipe are kept; --upgrade moves those of one source, package or "
    "environment. Bytes that changed under an unchanged address are refused. Recorded outputs stay as long as "
    "nothing that decides them changed.",
    writes="lockfiles/LAYER.lock in the recipe repository. Commit it.",
    examples=("layerlock lock cv", "layerlock lock cv-git --upgrade scipy"),
    related=("build", "record", "fetch"),
)


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("layers", nargs="+", metavar="LAYER", help="the layers to lock")
    parser.add_argument(
        "--upgrade",
        action="append",
        metavar="NAME",
        help="move the pins of this package, source (package/source) or environment; may be repeated",
    )
    add_offline(parser)


def run(call: Call) -> int:
    """Lock every layer, one after the other."""
    for layer in call.options.layers:
        check_layer(call.repository, layer)
    from layerlock.workflows.locking import lock_layer  # noqa: PLC0415 - usage errors are told without it

    for layer in call.options.layers:
        with call.driver() as driver:
            changed = lock_layer(
                driver, layer, frozenset(call.option("upgrade", ())), frozenset(call.options.layers)
            )
        call.result(
            _told(changed),
            {
                "layer": layer,
                "lock": f"lockfiles/{layer}.lock",
                "changed": changed.changed,
                "added": changed.added,
                "moved": changed.moved,
                "removed": changed.removed,
                "replanned": changed.replanned,
                "unrecorded": changed.unrecorded,
            },
        )
    return 0


def _told(changed: Relocked) -> str:
    shown = f"lockfiles/{changed.layer}.lock"
    if not changed.changed:
        return f"{shown}: nothing changed"
    parts = [f"{shown}:"]
    for called, names in (("added", changed.added), ("moved", changed.moved), ("removed", changed.removed)):
        # A new lock has hundreds of sources, which nobody reads one by one.
        listed = f": {', '.join(names)}" if len(names) <= 12 else ""
        if names:
            parts.append(f"  {called} {count(len(names), 'source')}{listed}")
    if changed.replanned:
        listed = f": {', '.join(changed.replanned)}" if len(changed.replanned) <= 12 else ""
        parts.append(f"  not as before: {count(len(changed.replanned), 'derivation')}{listed}")
    if changed.unrecorded:
        outputs = count(len(changed.unrecorded), "output")
        parts.append(f"  no longer recorded: {outputs} ({', '.join(changed.unrecorded)})")
    return "\n".join(parts)
