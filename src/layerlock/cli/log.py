"""`layerlock log`: the kept log of a build."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from layerlock.cli.help import Help
from layerlock.cli.targets import builds_of
from layerlock.errors import UsageError
from layerlock.ui.text import printable

if TYPE_CHECKING:
    import argparse

    from layerlock.cli.call import Call

HELP = Help(
    about="Prints the full log of the newest build of a package or a layer, as the recipes stand now, whether it "
    "succeeded or not. Of a layer's three builds (tree, zip, smoke) it is the last one. On a terminal, control "
    "characters are left out; elsewhere the log comes byte for byte.",
    writes="nothing.",
    examples=("layerlock log numpy | less", "layerlock log layer-cv-smoke"),
    related=("shell", "build", "show"),
)


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("name", metavar="NAME", help="a package, a layer, or a build as messages name it")
    parser.add_argument("--path", action="store_true", help="print where the log stands instead")


def run(call: Call) -> int:
    """Print the log."""
    target, builds = builds_of(call.repository, call.options.name)
    from layerlock.workflows.planning import load  # noqa: PLC0415 - usage errors are told without it

    with call.driver() as driver:
        plan = load(driver, target).plan
        logs = [driver.store.log_path(plan.planned[name]) for name in builds]
    path = _newest(logs)
    if path is None:
        raise UsageError(
            f"`{call.options.name}` was not built from the recipes as they stand",
            hint=f"run: layerlock build {target}",
        )
    if call.option("path") or call.lines is not None:
        call.result(str(path), {"name": call.options.name, "path": str(path)})
    else:
        _print(call, path)
    return 0


def _newest(logs: list[Path]) -> Path | None:
    found = [path for path in logs if path.is_file()]
    return max(found, key=lambda path: path.stat().st_mtime_ns, default=None)


def _print(call: Call, path: Path) -> None:
    if not call.stdout.isatty():
        call.stdout.flush()
        with path.open("rb") as log:
            shutil.copyfileobj(log, call.stdout.buffer)
        return
    with path.open(encoding="utf-8", errors="replace") as lines:
        for line in lines:
            call.stdout.write(printable(line.rstrip("\r\n")) + "\n")
