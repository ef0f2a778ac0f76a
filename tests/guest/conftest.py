"""Guest code is no package: tests import its modules by their plain names, and start its entries as a driver does."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

GUEST = Path(__file__).parents[2] / "src" / "layerlock" / "guest"
if str(GUEST) not in sys.path:
    sys.path.append(str(GUEST))


@dataclass(frozen=True, kw_only=True, slots=True)
class Ended:
    """How an entry ended: exit status, its report (of /out or /build), its standard output and error."""

    status: int
    report: dict[str, Any]
    printed: str
    out: Path

    @property
    def error(self) -> dict[str, Any]:
        found: dict[str, Any] = self.report["error"]
        return found

    def messages(self, check: str = "") -> list[str]:
        return [row["message"] for row in self.report["findings"] if check in ("", row["check"])]


Entry = Callable[..., Ended]


@pytest.fixture
def entry(tmp_path: Path) -> Entry:
    """Runs `entry("pack", {...task...})` in a process of its own; each call has a new output."""
    count = 0

    def run(name: str, task: dict[str, Any]) -> Ended:
        nonlocal count
        count += 1
        place = tmp_path / f"run{count}"
        out, scratch = place / "out", place / "scratch"
        out.mkdir(parents=True)
        scratch.mkdir()
        file = place / "task.json"
        file.write_text(json.dumps({"out": str(out), "scratch": str(scratch), **task}), encoding="utf-8")
        done = subprocess.run(
            [sys.executable, "-s", "-E", "-B", str(GUEST / f"{name}.py"), str(file)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            check=False,
            timeout=120,
        )
        report = (out if done.returncode == 0 else scratch) / "report.json"
        printed = done.stdout.decode()
        assert report.exists() or (name in {"build", "wheels"} and done.returncode == 0), printed
        content = json.loads(report.read_text(encoding="utf-8")) if report.exists() else {}
        return Ended(status=done.returncode, report=content, printed=printed, out=out)

    return run


@dataclass(frozen=True, kw_only=True, slots=True)
class Toolchain:
    """A C compiler; what it makes is not compared with anything, so any compiler will do."""

    gcc: str
    folder: Path

    def shared(self, name: str, source: str, *options: str, language: str = "c") -> Path:
        """Compile `source` into a shared object `folder/name`."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        self.run(
            "-shared",
            "-fPIC",
            "-O1",
            "-o",
            str(path),
            "-x",
            language,
            "-",
            "-x",
            "none",
            *options,
            source=source,
        )
        return path

    def run(self, *arguments: str, source: str = "") -> None:
        done = subprocess.run(
            [self.gcc, *arguments], input=source.encode(), capture_output=True, check=False, timeout=60
        )
        assert done.returncode == 0, done.stderr.decode()


@pytest.fixture
def toolchain(tmp_path: Path) -> Toolchain:
    gcc = shutil.which("gcc")
    if gcc is None:
        pytest.skip("no C compiler here; the same tests run inside the build environment")
    folder = tmp_path / "compiled"
    folder.mkdir()
    return Toolchain(gcc=gcc, folder=folder)


def write_tree(root: Path, files: dict[str, str | bytes]) -> Path:
    """Make files, and with a content that starts with "-> " links, below `root`."""
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, str) and content.startswith("-> "):
            path.symlink_to(content[3:])
        else:
            path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return root


@pytest.fixture
def gnu_patch() -> None:
    """Skip where the host lacks the program; builds take the one of their environment."""
    if shutil.which("patch") is None:
        pytest.skip("GNU patch is not installed here; builds of small packages try it in the sandbox")
