"""`layerlock invoke`: a function's answer, as Lambda would have it."""

from __future__ import annotations

import json
import re
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from layerlock.cli.arguments import add_building
from layerlock.cli.help import Help
from layerlock.errors import UsageError
from layerlock.ui.text import printable

if TYPE_CHECKING:
    import argparse
    from pathlib import Path

    from layerlock.cli.call import Call
    from layerlock.layer.steadiness import Steadiness

HELP = Help(
    about="Invokes a function through AWS's own emulator: in the sandbox, in a root like Lambda's, as an unprivileged "
    "user without network, the function at /var/task and its layers at /opt. A function for arm64 runs under an "
    "emulator of that processor. What is missing is built first. The event is an image, sent in base64 under "
    "`image`, or a file of JSON. With --times it is sent again and again in one environment, and memory and time are "
    "watched.",
    writes="nothing; what the function printed and its answer go to standard output.",
    examples=(
        "layerlock invoke lambdavision hat.jpg",
        "layerlock invoke lambdavision --event event.json",
        "layerlock invoke lambdavision-stub hat.jpg --times 10000",
    ),
    related=("build", "shell"),
)

_EMULATORS_OWN = re.compile(
    r"\d\d \w{3} \d{4} [\d:,]+ \[|(START|END|REPORT) RequestId: |INIT[_ ]|EXTENSION|\[INFO\]"
)


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("name", metavar="FUNCTION", help="the function to invoke")
    parser.add_argument(
        "image", nargs="?", metavar="IMAGE", help="a file that is sent in base64, under `image`"
    )
    parser.add_argument("--event", metavar="FILE", help="a file with the event, in JSON")
    parser.add_argument("--times", type=int, metavar="N", help="how many times it is sent; once if left out")
    parser.add_argument(
        "--timeout", type=int, metavar="SECONDS", help="how long an answer may take; 300 if left out"
    )
    add_building(parser)


def run(call: Call) -> int:
    """Invoke a function."""
    name, times = call.options.name, call.option("times", 1)
    known = call.repository.names("functions")
    if name not in known:
        raise UsageError(f"there is no function `{name}`", hint=f"functions: {', '.join(known) or 'none'}")
    if times < 1:
        raise UsageError("--times is at least 1")
    event = _event(call)
    from layerlock.layer.steadiness import steadiness  # noqa: PLC0415 - usage errors are told without them
    from layerlock.workflows.invoking import invoke  # noqa: PLC0415

    with call.driver() as driver:
        came = invoke(driver, name, (event,), times, call.option("timeout", 300))
    watched = steadiness(came.samples)
    printed = [line for line in came.log.splitlines() if line.strip() and not _EMULATORS_OWN.match(line)]
    told = [printable(line) for line in (printed if times == 1 else printed[:1])]
    told.append(json.dumps(came.answers[0], indent=2, ensure_ascii=False))
    if watched is not None:
        told.append(_as_text(times, watched))
    fields = {
        "function": name,
        "answer": came.answers[0],
        "printed": printed,
        "times": times,
        "samples": [asdict(sample) for sample in came.samples],
        "steadiness": asdict(watched) if watched is not None else None,
    }
    call.result("\n".join(told), fields)
    return 0


def _event(call: Call) -> Any:
    image, event = call.option("image"), call.option("event")
    if (image is None) == (event is None):
        raise UsageError("name one of an IMAGE and an --event", hint="see: layerlock invoke --help")
    if event is not None:
        try:
            return json.loads(_read(call.current / event))
        except ValueError as error:
            raise UsageError(f"{event} is no JSON: {error}") from None
    from base64 import b64encode  # noqa: PLC0415 - for images alone

    return {"image": b64encode(_read(call.current / image)).decode()}


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from None


def _as_text(times: int, watched: Steadiness) -> str:
    first, last = watched.resident
    return (
        f"{times:,} invocations: {watched.growth:+,.1f} bytes resident for each ({first / 1e6:.1f} MB after the "
        f"warm-up, {last / 1e6:.1f} MB in the end), {watched.first * 1e3:.2f} ms each at first and "
        f"{watched.last * 1e3:.2f} ms in the end"
    )
