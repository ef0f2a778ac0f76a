"""Assembling a function: modules come to the top of the zip, and the handler is among them."""

from __future__ import annotations

import platform
import sys
from pathlib import Path
from typing import Any

import pytest

from .conftest import Entry, write_tree

SITE = "python/lib/python3.11/site-packages"


@pytest.fixture
def task(tmp_path: Path) -> dict[str, Any]:
    """A function of its own module and a package."""
    own: dict[str, str | bytes] = {"python/app.py": "def handler(event, context):\n    return event\n"}
    other: dict[str, str | bytes] = {
        f"{SITE}/other/__init__.py": "x = 1\n",
        f"{SITE}/other/same.py": "-> __init__.py",
        f"{SITE}/other-1.dist-info/METADATA": "m",
        "lib/a.txt": "a",
    }
    exports = tmp_path / "runtime.exports"
    exports.write_text("library libc.so.6\nunlisted\n")
    return {
        "layer": "demo",
        "handler": "app.handler",
        "architecture": "arm64" if platform.machine() == "aarch64" else "x86_64",
        "packages": [
            {"name": "own", "path": str(write_tree(tmp_path / "own", own))},
            {"name": "other", "path": str(write_tree(tmp_path / "other", other))},
        ],
        "runtime": {"name": "python3.11", "libraries_path": ["/lib64", "/opt/lib"], "exports": str(exports)},
        "python": {"version": "3.11", "executable": sys.executable},
    }


def add(task: dict[str, Any], files: dict[str, str | bytes]) -> None:
    """Add files to the function's own package, in place of those that are there."""
    root = Path(task["packages"][0]["path"])
    for name in files:
        (root / name).unlink(missing_ok=True)
    write_tree(root, files)


def test_modules_come_to_the_top(task: dict[str, Any], entry: Entry) -> None:
    ended = entry("function", task)
    tree = ended.out / "tree"
    assert sorted(str(path.relative_to(tree)) for path in tree.rglob("*")) == [
        "app.py",
        "lib",
        "lib/a.txt",
        "other",
        "other-1.dist-info",
        "other-1.dist-info/METADATA",
        "other/__init__.py",
        "other/same.py",
    ]
    assert (tree / "other/same.py").read_text() == "x = 1\n"
    assert ended.report["handler"] == "app.handler"
    assert {row["path"] for row in ended.report["largest"]} >= {"app.py", "other/__init__.py"}
    assert ended.report["unzipped"] == sum(
        p.stat().st_size for p in tree.rglob("*") if p.is_file() and not p.is_symlink()
    )


def test_two_modules_that_come_to_one_place(task: dict[str, Any], entry: Entry) -> None:
    add(task, {"python/other/__init__.py": "x = 2\n"})
    ended = entry("function", task)
    assert ended.status == 1
    assert ended.error["kind"] == "check"
    assert "comes to the top of the zip, where other/__init__.py stands already" in ended.error["message"]


@pytest.mark.parametrize(
    ("handler", "source"),
    [
        ("app.handler", "from other import x as handler\n"),
        ("app.handler", "import json\nhandler = lambda event, context: event\n"),
        (
            "app.handler",
            "try:\n    import numpy\nexcept ImportError:\n    def handler(event, context): ...\n",
        ),
        ("app.Main", "class Main: ...\n"),
        ("folder.app.handler", "async def handler(event, context): ...\n"),
        ("folder/app.handler", "handler: object = print\n"),
    ],
)
def test_handlers_that_are_there(task: dict[str, Any], entry: Entry, handler: str, source: str) -> None:
    place = handler.rpartition(".")[0].replace(".", "/")
    add(task, {f"python/{place}.py": source})
    assert entry("function", {**task, "handler": handler}).report["handler"] == handler


@pytest.mark.parametrize(
    ("handler", "source", "message", "hint"),
    [
        ("main.handler", "", "the handler main.handler is not in the zip: there is no main.py", "app.py"),
        ("app.main", "def handler(): ...\n", "app.py names no `main` at its top", "it names: handler"),
        ("app.inner", "def handler():\n    inner = 1\n", "app.py names no `inner` at its top", "handler"),
        ("app.handler", "def handler(:\n", "the handler's module app.py is no Python", ""),
    ],
)
def test_handlers_that_are_not(
    task: dict[str, Any], entry: Entry, handler: str, source: str, message: str, hint: str
) -> None:
    if source:
        add(task, {"python/app.py": source})
    ended = entry("function", {**task, "handler": handler})
    assert (ended.status, ended.error["kind"]) == (1, "function")
    assert message in ended.error["message"]
    assert hint in ended.error["hint"]


def test_what_is_checked_of_layers_is_checked(task: dict[str, Any], entry: Entry) -> None:
    add(task, {"python/json.py": "x = 1\n"})
    ended = entry("function", task)
    assert ended.status == 1
    assert "hides the standard library's json" in ended.error["message"]
