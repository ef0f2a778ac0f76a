"""How long a function's first answer waits for a layer: imports in a fresh process, and what AWS calls Init Duration.

Trees are measured in turn, round by round, so that a machine that becomes slower is so for all of them. Cold: the
tree's files were dropped from the page cache before; warm: they were read a moment ago.
"""

from __future__ import annotations

import os
import re
import signal
import socket
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import requests

from tools.calls import table
from tools.files import regular

SITE: Final = "python/lib/python3.11/site-packages"
IMPORTS: Final = (
    "import numpy, scipy.stats, scipy.signal, scipy.optimize, scipy.ndimage, scipy.sparse.linalg, cv2"
)
COLD: Final = 5
WARM: Final = 9

_HANDLER: Final = (
    f"{IMPORTS}\n\ndef handler(event, context):\n    return [numpy.__file__, scipy.__file__, cv2.__file__]\n"
)
_INVOKE: Final = "2015-03-31/functions/function/invocations"
# Not the "Init Duration" of its REPORT line: that has ended before the emulator starts the function's process.
_INIT: Final = re.compile(r"INIT REPORT\(durationMs: ([0-9.]+)\)")
_SECONDS: Final = 60

Took = tuple[float, float]
"""Medians of the cold rounds and of the warm ones, in seconds."""


def started(
    interpreter: Sequence[str], tree: Path, modules: Sequence[Path] = ()
) -> tuple[list[str], dict[str, str]]:
    """Give the command that starts Python with a tree as its layer, and its variables; both to be added to.

    `interpreter` is loader, option, libraries and program, as `bench` gives it; `modules` are more folders of modules.
    """
    loader, option, libraries, program = interpreter
    return (
        [loader, option, f"{libraries}:{tree / 'lib'}", program, "-s"],
        {
            "PYTHONPATH": ":".join(str(folder) for folder in (tree / SITE, *modules)),
            "PYTHONDONTWRITEBYTECODE": "1",  # layers cannot be written to on Lambda
            "PYTHONHOME": str(Path(program).parents[1]),
        },
    )


def in_turn(trees: Mapping[str, Path], once: Callable[[Path], float]) -> dict[str, Took]:
    """Take a time of every tree, over and over."""
    os.sync()  # what is not on the disk yet stays in the page cache
    for tree in trees.values():
        once(tree)
    cold = [{name: _cold(tree, once) for name, tree in trees.items()} for _ in range(COLD)]
    warm = [{name: once(tree) for name, tree in trees.items()} for _ in range(WARM)]
    return {
        name: (statistics.median(each[name] for each in cold), statistics.median(each[name] for each in warm))
        for name in trees
    }


def _cold(tree: Path, once: Callable[[Path], float]) -> float:
    for path in regular(tree):
        with path.open("rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    return once(tree)


def imports(interpreter: Sequence[str], trees: Mapping[str, Path]) -> dict[str, Took]:
    """Time the imports, each in a process of its own."""

    def once(tree: Path) -> float:
        command, variables = started(interpreter, tree)
        began = time.perf_counter()
        subprocess.run([*command, "-c", IMPORTS], env=variables, check=True)
        return time.perf_counter() - began

    return in_turn(trees, once)


@dataclass(frozen=True, kw_only=True, slots=True)
class Emulated:
    """AWS's runtime interface emulator, its client's folder of modules, and the Python that they start."""

    emulator: Path
    client: Path
    interpreter: Sequence[str]


def inits(emulated: Emulated, trees: Mapping[str, Path]) -> dict[str, Took]:
    """Take the Init Duration of a function that does the imports, started anew for each.

    Raises:
        RuntimeError: the function gave no answer, or imported something else than the tree's modules.
    """
    with tempfile.TemporaryDirectory() as folder:
        function = Path(folder)
        (function / "app.py").write_text(_HANDLER)
        return in_turn(trees, lambda tree: init_duration(emulated, function, tree))


def init_duration(emulated: Emulated, function: Path, tree: Path) -> float:
    """Start the emulator for the function in a folder, send it an event, and give the Init Duration in seconds.

    Raises:
        RuntimeError: as `inits`.
    """
    python, variables = started(emulated.interpreter, tree, [emulated.client])
    port, api = _free_port(), _free_port()
    command = [
        *(str(emulated.emulator), "--runtime-interface-emulator-address", f"127.0.0.1:{port}"),
        *("--runtime-api-address", f"127.0.0.1:{api}"),
        *(*python, "-m", "awslambdaric", "app.handler"),
    ]
    variables |= {"LAMBDA_TASK_ROOT": str(function), "AWS_LAMBDA_FUNCTION_TIMEOUT": str(_SECONDS)}
    with (
        tempfile.TemporaryFile() as log,
        subprocess.Popen(
            command, env=variables, cwd=function, stdout=log, stderr=log, start_new_session=True
        ) as process,
    ):
        try:
            files = _answer(port, process)
        finally:
            _end(process)
        log.seek(0)
        said = log.read().decode(errors="replace")
    found = _INIT.search(said)
    ours = isinstance(files, list) and all(str(file).startswith(f"{tree}/") for file in files)
    if not ours or found is None:
        raise RuntimeError(f"the function with {tree} answered {files}; the emulator wrote:\n{said}")
    return float(found.group(1)) / 1000


def _answer(port: int, process: subprocess.Popen[bytes]) -> object:
    """Send an empty event as soon as the emulator listens; give the answer, or what went wrong."""
    until = time.monotonic() + _SECONDS
    with requests.Session() as session:
        session.trust_env = False  # no proxy on the way to loopback
        while time.monotonic() < until and process.poll() is None:
            try:
                return session.post(f"http://127.0.0.1:{port}/{_INVOKE}", json={}, timeout=_SECONDS).json()
            except requests.ConnectionError:
                time.sleep(0.01)
            except requests.RequestException as error:
                return str(error)
    return "nothing"


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the emulator and what it has started."""
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def against(last: str, took: Mapping[str, Took]) -> str:
    """Make a table of layers' cold and warm times, with ratios to those of one that is no layer."""
    rows: list[tuple[str, ...]] = [("", "cold, s", "warm, s", f"cold, of {last}", f"warm, of {last}")]
    for name, times in took.items():
        ratios = [f"{mine / other:.2f}" for mine, other in zip(times, took[last], strict=True)]
        rows.append((name if name == last else f"`{name}`", *(f"{time:.2f}" for time in times), *ratios))
    return table(*rows)
