"""The page docs/cache-speed.md, out of what `cache_speed` measured."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

WAYS = {"push": "up", "pull": "down", "send": "up", "bring": "down"}
AGAINST = {
    "contents": "sync contents {}",
    "contents, on the disk": "sync contents {}, then to the disk",
    "objects": "sync objects {}",
    "files": "sync files {}",
}
EXPLANATION = """\
A ratio of 1 is as fast as `aws s3 sync`; more is faster. `push` and `pull` are whole, with compressing, hashing,
signing, unpacking and bringing every file to the disk; `send` and `bring` only move the finished objects.

They are held against `sync` of the same bytes in three forms. *Contents* are the closure uncompressed, in as many
files as there are objects (a NAR a tree); *objects* are the finished ones of the cache; *files* is the closure as
it stands in a store, every file an object, without links, modes and empty folders, which `sync` does not know. When
`sync` is over, nothing of what it wrote need be on the disk, and a machine that stops loses it; when `pull` is
over, all of it is. *On the disk* is `sync` with that wait added, which makes it the same promise. On a tmpfs there
is no disk, and no such wait.

Seconds of processors leave the service out. Of several rounds the quickest of each counts.
"""


def page(measured: Iterable[dict[str, Any]]) -> str:
    """Put measurements into a page."""
    return "\n".join(["# The binary cache's speed", "", EXPLANATION, *map(_section, measured)])


def _section(found: dict[str, Any]) -> str:
    seconds, busy, most = found["seconds"], found["busy"], found["ceiling in MB a second"]
    whole, packed = found["contents"] / 1e6, found["bytes"] / 1e6
    files = f", {found['files']} files as it stands in a store" if found["files"] else ""

    def share(megabytes: float, what: str, way: str) -> str:
        return f"{100 * megabytes / seconds[what] / most[way]:.0f} %"

    lines = [
        f"## `{found['layer']}` on {found['kind']}",
        "",
        f"{found['objects']} objects, {whole:.0f} MB that are {packed:.0f} MB compressed{files}. Measured on"
        f" {found['date']} by `python -m tools.cache_speed`, {found['rounds']} round(s), with {os.cpu_count()}"
        f" processors and a load of {found['load'][0]} at the end.",
        "",
        "| | seconds | of processors | " + " | ".join(f"against {name}" for name in AGAINST) + " |",
        "| --- | --- | --- |" + " --- |" * len(AGAINST),
        *(f"| {what} | {seconds[what]} | {busy[what]} |{_ratios(seconds, what)}" for what in WAYS),
        *(
            f"| `aws s3 sync`, {what.removeprefix('sync ')} | {taken} | {busy[what]} |" + " |" * len(AGAINST)
            for what, taken in seconds.items()
            if what.startswith("sync")
        ),
        "",
        f"The service took {most['up']} MB a second by plain requests, and gave {most['down']}. Of that `push` used"
        f" {share(packed, 'push', 'up')} and `pull` {share(packed, 'pull', 'down')}, `sync` of the contents"
        f" {share(whole, 'sync contents up', 'up')} up and {share(whole, 'sync contents down', 'down')} down; where"
        " that is over 50 %, the service was part of the limit.",
        "",
    ]
    return "\n".join(lines)


def _ratios(seconds: dict[str, float], what: str) -> str:
    cells = []
    for name, pattern in AGAINST.items():
        theirs = pattern.format(WAYS[what])
        same = what == "pull" or not name.endswith("on the disk")  # `bring` promises no more than `sync` does
        cells.append(f" {seconds[theirs] / seconds[what]:.2f} |" if same and theirs in seconds else " |")
    return "".join(cells)
