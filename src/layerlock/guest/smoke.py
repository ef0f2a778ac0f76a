"""Runs a layer's smoke tests in a root that offers what Lambda offers, each in a fresh process.

Task: {"runtime": {"executable", "libraries_path", "modules_path", "variables", "launcher"}, "tests": [...],
"emulator": path, "client_path": [path]}. A test is {"name", "kind": "python", "file", "arguments",
"variables", "timeout"} or {"name", "kind": "invoke", "handler", "file", "event", "expect", "variables",
"timeout"}; seconds.

"python" runs a file. "invoke" starts AWS's runtime interface emulator with AWS's runtime client on
loopback, sends the event, and compares the answer. All tests run, also after one has failed. This runs in
the layer's own Python, the only one in that root: 3.9 to 3.14.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from task import Finding, Report, Task, refuse, run

_START = str(Path(__file__).resolve().parent / "smoke_start.py")
_INVOKE = "/2015-03-31/functions/function/invocations"
# The emulator initialises at the first invocation and then reports an "Init Duration" near zero: this is
# the real one.
_INIT = re.compile(r"INIT REPORT\(durationMs: ([0-9.]+)\)")
_SECONDS = 60.0
_OUTPUT_BYTES = 20_000
# Nothing of a proxy: the emulator is on loopback.
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def smoke(task: Task) -> Report:
    """Run every test. Raises Violation of kind "smoke" after all have run, with a finding for each that
    failed.
    """
    results = []
    for test in task["tests"]:
        result = _python(test, task) if test["kind"] == "python" else _invoke(test, task)
        results.append(result)
        how = "ok" if result["ok"] else "FAILED"
        print(f"smoke test {test['name']}: {how}, {result['seconds']} s", flush=True)
        if not result["ok"]:
            print(result["output"], flush=True)
    refuse([_finding(result) for result in results if not result["ok"]])
    return {"tests": results}


def variables(runtime: Mapping[str, Any], test: Mapping[str, Any]) -> dict[str, str]:
    """Exactly what Lambda sets, and what the test adds; PYTHONPATH is never among it."""
    return {
        **runtime.get("variables", {}),
        "LD_LIBRARY_PATH": ":".join(runtime["libraries_path"]),
        **test.get("variables", {}),
    }


def command(runtime: Mapping[str, Any], modules: Sequence[str], *rest: str) -> list[str]:
    """The argv that starts a file or a module with Lambda's search path; `launcher` may be an emulator of a
    processor.
    """
    return [*runtime.get("launcher", []), runtime["executable"], _START, ":".join(modules), *rest]


def _python(test: Mapping[str, Any], task: Task) -> dict[str, Any]:
    runtime = task["runtime"]
    argv = command(runtime, runtime["modules_path"], "file", test["file"], *test.get("arguments", []))
    timeout = float(test.get("timeout", _SECONDS))
    start = time.monotonic()
    with tempfile.TemporaryFile() as output:
        process = _start(argv, variables(runtime, test), "/", output)
        try:
            status = process.wait(timeout)
            why = f"ended with {status}" if status >= 0 else f"was ended by signal {-status}"
        except subprocess.TimeoutExpired:
            status, why = -signal.SIGKILL, f"took longer than {timeout:g} s"
        finally:
            _end(process)
        said = _text(output)
    return _result(test, status == 0, start, said, why=why, status=status)


def _invoke(test: Mapping[str, Any], task: Task) -> dict[str, Any]:
    runtime = task["runtime"]
    folder = str(Path(test["file"]).parent)
    # The function's folder stands for /var/task, and AWS's client for what /var/runtime holds.
    modules = [folder if entry == "/var/task" else entry for entry in runtime["modules_path"]]
    modules += task.get("client_path", [])
    port = _free_port()
    argv = [
        *(task["emulator"], "--runtime-interface-emulator-address", f"127.0.0.1:{port}"),
        *("--runtime-api-address", f"127.0.0.1:{_free_port()}"),
        *command(runtime, modules, "module", "awslambdaric", test["handler"]),
    ]
    timeout = float(test.get("timeout", _SECONDS))
    environment = {**variables(runtime, test), "LAMBDA_TASK_ROOT": folder}
    environment["AWS_LAMBDA_FUNCTION_TIMEOUT"] = str(max(1, int(timeout)))
    start = time.monotonic()
    with tempfile.TemporaryFile() as output:
        process = _start(argv, environment, folder, output)
        try:
            answer, why = _post(port, test.get("event", {}), start + timeout, process), ""
        except (OSError, ValueError) as error:
            answer, why = None, f"gave no answer: {error}"
        finally:
            _end(process)
        said = _text(output)
    right = not why and answer == test.get("expect", answer)
    if not why and not right:
        why = (
            f"answered {json.dumps(answer, sort_keys=True)}, not {json.dumps(test['expect'], sort_keys=True)}"
        )
    result = _result(test, right, start, said, why=why, status=0 if right else 1)
    init = _INIT.search(said)
    result["init_ms"] = float(init.group(1)) if init else None
    return result


def _post(port: int, event: Any, deadline: float, process: subprocess.Popen[bytes]) -> Any:
    """The function's answer to `event`, tried again until the emulator listens. Raises OSError or
    ValueError.
    """
    while True:
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("the time is up")
        if process.poll() is not None:
            raise OSError(f"the emulator ended with {process.returncode}")
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}{_INVOKE}",
            data=json.dumps(event).encode(),
            headers={"Content-Type": "application/json"},
        )
        try:
            with _OPENER.open(request, timeout=left) as response:
                return json.loads(response.read())
        except urllib.error.HTTPError as error:
            raise OSError(f"status {error.code}: {error.read()[:500]!r}") from error
        except urllib.error.URLError as error:
            if not isinstance(error.reason, ConnectionRefusedError):
                raise OSError(str(error.reason)) from error
            time.sleep(0.05)


def _start(
    argv: list[str], environment: dict[str, str], cwd: str, output: IO[bytes]
) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        argv,
        env=environment,
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the process and whatever it has started in its session."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _text(output: IO[bytes]) -> str:
    """The last part of what was written, with invalid UTF-8 replaced."""
    size = output.seek(0, os.SEEK_END)
    output.seek(max(0, size - _OUTPUT_BYTES))
    return output.read().decode("utf-8", "replace")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _result(
    test: Mapping[str, Any], ok: bool, start: float, said: str, *, why: str, status: int
) -> dict[str, Any]:
    return {
        "name": test["name"],
        "kind": test["kind"],
        "ok": ok,
        "seconds": round(time.monotonic() - start, 3),
        "output": said,
        "why": "" if ok else why,
        "status": status,
    }


def _finding(result: Mapping[str, Any]) -> Finding:
    lines = [line for line in result["output"].splitlines() if line.strip()]
    telling = [line for line in lines if re.match(r"\w*(Error|Exception|Exit)\b|.*\[ERROR\]", line)][:1]
    # Where no line looks like an error, what was printed last says most.
    hint = "\n".join(telling or lines[-5:]) or "it printed nothing"
    message = f"the smoke test {result['name']!r} {result['why']}"
    return Finding("smoke", "smoke", message, hint, result["name"])


if __name__ == "__main__":
    sys.exit(run(smoke, sys.argv))
