"""Smoke tests as Lambda would run them: search path, variables, time limits, and what a failure says."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from .conftest import Entry, write_tree


@pytest.fixture
def task(tmp_path: Path) -> dict[str, Any]:
    write_tree(tmp_path / "opt", {"python/layered.py": "name = 'layered'\n"})
    return {
        "runtime": {
            "executable": sys.executable,
            "libraries_path": ["/lib64", "/opt/lib"],
            "modules_path": ["/var/task", str(tmp_path / "opt/python")],
            "variables": {"TZ": ":UTC", "AWS_REGION": "us-east-1"},
        },
        "tests": [],
    }


def _test(tmp_path: Path, source: str, **more: Any) -> dict[str, Any]:
    file = write_tree(tmp_path / "tests", {"check.py": source}) / "check.py"
    return {"name": "check", "kind": "python", "file": str(file), **more}


def test_lambda_s_surroundings(tmp_path: Path, task: dict[str, Any], entry: Entry) -> None:
    source = """
import os, sys, layered
# Python itself sets LC_CTYPE where no locale is given (PEP 538).
print(sorted(set(os.environ) - {"LC_CTYPE"}), os.environ["LD_LIBRARY_PATH"], sys.argv[1:], __name__)
assert sys.path[:2] == ["/var/task", os.path.dirname(layered.__file__)], sys.path
assert not any(entry.endswith(("guest", "tests")) for entry in sys.path), sys.path
"""
    task["tests"] = [_test(tmp_path, source, arguments=["a", "b"])]
    (result,) = entry("smoke", task).report["tests"]
    assert result["ok"]
    assert "['AWS_REGION', 'LD_LIBRARY_PATH', 'TZ']" in result["output"]
    assert "/lib64:/opt/lib ['a', 'b'] __main__" in result["output"]


@pytest.mark.parametrize(
    ("source", "more", "message", "hint"),
    [
        ("import nowhere_at_all", {}, "'check' ended with 1", "No module named 'nowhere_at_all'"),
        ("raise SystemExit(3)", {}, "'check' ended with 3", "printed nothing"),
        ("import os; os.abort()", {}, "'check' was ended by signal 6", ""),
        ("import time; time.sleep(60)", {"timeout": 0.5}, "'check' took longer than 0.5 s", ""),
    ],
)
def test_failures(
    tmp_path: Path,
    task: dict[str, Any],
    entry: Entry,
    source: str,
    more: dict[str, Any],
    message: str,
    hint: str,
) -> None:
    good = {**_test(tmp_path / "good", "print('fine')"), "name": "good"}
    task["tests"] = [_test(tmp_path, source, **more), good]
    ended = entry("smoke", task)
    assert ended.error["kind"] == "smoke"
    assert message in ended.error["message"]
    assert hint in ended.error["hint"]
    assert "smoke test good: ok" in ended.printed


def test_an_emulator_that_does_not_start(tmp_path: Path, task: dict[str, Any], entry: Entry) -> None:
    file = write_tree(tmp_path / "function", {"app.py": "def handler(event, context): return 1\n"}) / "app.py"
    task["emulator"] = "/bin/false"
    task["tests"] = [
        {
            "name": "app",
            "kind": "invoke",
            "handler": "app.handler",
            "file": str(file),
            "event": {},
            "expect": 1,
        }
    ]
    assert "the emulator ended with 1" in entry("smoke", task).error["message"]
