"""Invokes a function through AWS's runtime interface emulator, once or many times, and measures it.

Task: {"runtime", "emulator", "client_path"} as for smoke.py; "handler"; "folder", where the function stands; "events",
the events, each sent in turn; "times", how many invocations in all; "timeout", seconds of one. Result:
/out/report.json with the first answers, the log's beginning, and a sample of resident sizes and times. An answer that
differs from the first one to the same event ends the run.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from smoke import _end, _free_port, _post, _start, command, variables
from task import Report, Task, Violation, run

_LOG_BYTES = 50_000
_SAMPLES = 500


def invoke(task: Task) -> Report:
    """Start the emulator, send every event, and end it. Raises a Violation of kind "invocation" if no answer comes,
    or another one than before.
    """
    runtime, folder, timeout = task["runtime"], task["folder"], float(task["timeout"])
    port = _free_port()
    argv = [
        *(task["emulator"], "--runtime-interface-emulator-address", f"127.0.0.1:{port}"),
        *("--runtime-api-address", f"127.0.0.1:{_free_port()}"),
        *command(
            runtime,
            [*runtime["modules_path"], *task["client_path"]],
            "module",
            "awslambdaric",
            task["handler"],
        ),
    ]
    environment = {**variables(runtime, {}), "LAMBDA_TASK_ROOT": folder}
    environment["AWS_LAMBDA_FUNCTION_TIMEOUT"] = str(max(1, int(timeout)))
    with tempfile.TemporaryFile() as output:
        process = _start(argv, environment, folder, output)
        try:
            return {**_all(task, port, timeout, process), "log": _head(output)}
        except (OSError, ValueError) as error:
            said = _head(output, end=True)
            last = "\n".join(line for line in said.splitlines() if line.strip())[-2000:]
            raise Violation("invocation", f"the function gave no answer: {error}", hint=last) from error
        finally:
            _end(process)


def _all(task: Task, port: int, timeout: float, process: Any) -> Report:
    events, times = task["events"], int(task["times"])
    every = max(1, times // _SAMPLES)
    answers: list[Any] = []
    samples: list[dict[str, float]] = []
    seconds = 0.0
    for number in range(times):
        start = time.monotonic()
        answer = _post(port, events[number % len(events)], start + timeout, process)
        seconds += time.monotonic() - start
        if number < len(events):
            answers.append(answer)
        elif answer != answers[number % len(events)]:
            message = f"invocation {number + 1} was answered {json.dumps(answer)[:500]}, unlike the first one"
            raise Violation("invocation", message)
        if number % every == 0 or number == times - 1:
            count = 1 if number == 0 else min(every, number)
            resident = _resident(process.pid)
            samples.append({"invocation": number + 1, "seconds": seconds / count, "resident": resident or 0})
            seconds = 0.0
            if times > 1 and (number // every) % 50 == 0:
                print(f"{number + 1} of {times}", flush=True)
    return {"answers": answers, "samples": samples, "times": times}


def _resident(emulator: int) -> Any:
    """Bytes that the function's process has in memory, or None: the emulator's child that uses most."""
    sizes = []
    for place in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((place / "stat").read_text().rpartition(")")[2].split()[1])
            if parent != emulator:
                continue
            for line in (place / "status").read_text().splitlines():
                if line.startswith("VmRSS:"):
                    sizes.append(int(line.split()[1]) * 1024)
        except (OSError, ValueError):
            continue  # it has ended meanwhile
    return max(sizes, default=None)


def _head(output: Any, end: bool = False) -> str:
    size = output.seek(0, 2)
    output.seek(max(0, size - _LOG_BYTES) if end else 0)
    text: str = output.read(_LOG_BYTES).decode("utf-8", "replace")
    return text


if __name__ == "__main__":
    sys.exit(run(invoke, sys.argv))
