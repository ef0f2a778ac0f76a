"""What a host can offer to variations, found out by trying."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from layerlock.reproduce.variations.launch import LAUNCHER, Launch, python_path

OTHER_USER = 64210
"""A user and group that no host is likely to have a name for."""

OLDEST = (3, 11)
_TRIED = 60.0
# What the rebuilding driver imports; an interpreter that cannot is of no use.
_IMPORTS = "import layerlock.cli.rebuild, layerlock.workflows.rebuilding, layerlock.cli.reach, os, sys"
_LOOK = f"{_IMPORTS}; [os.listdir(place) for place in sys.argv[1:]]"


@dataclass(frozen=True, kw_only=True, slots=True)
class Host:
    """What is there: whether root runs the driver, processors, machine, and the sandbox that builds run in.

    `python` is another interpreter that can run the driver, `user_python` one that another user can start (the
    running one if that is possible) and `user_other_python` one that is not the running one; where there is none it is
    empty, and the obstacle says why.
    """

    root: bool
    processors: int
    machine: str
    sandbox: str
    python: str
    python_obstacle: str
    user_python: str
    user_other_python: str
    user_obstacle: str


def look(
    variables: Mapping[str, str], *, sandbox: str, named_python: str, visited: Sequence[Path], user: bool
) -> Host:
    """Look at this host.

    Args:
        variables: the environment; other interpreters are looked for in its PATH.
        sandbox: the backend's name, empty for the usual one.
        named_python: the other interpreter, empty to look for one.
        visited: folders that another user has to be able to read.
        user: whether the other user is of interest: trying takes half a second.
    """
    root = os.geteuid() == 0
    found = [named_python] if named_python else [*_interpreters(variables.get("PATH", ""))]
    python, python_obstacle = _first_working(found, variables, Launch(), ())
    user_python = user_other = user_obstacle = ""
    if root and user:
        other = Launch(uid=OTHER_USER, gid=OTHER_USER)
        user_other, user_obstacle = _first_working(found, variables, other, visited)
        own_obstacle = _trouble(sys.executable, variables, other, visited)
        user_python = user_other if own_obstacle else sys.executable
        user_obstacle = "" if user_python else own_obstacle
    return Host(
        root=root,
        processors=len(os.sched_getaffinity(0)),
        machine=platform.machine(),
        sandbox=sandbox,
        python=python,
        python_obstacle=python_obstacle,
        user_python=user_python,
        user_other_python=user_other,
        user_obstacle=user_obstacle,
    )


def _first_working(
    pythons: Iterable[str], variables: Mapping[str, str], launch: Launch, visited: Sequence[Path]
) -> tuple[str, str]:
    """Give the first interpreter that can run the driver, or an empty text and why none can."""
    why = f"no other Python from {OLDEST[0]}.{OLDEST[1]} on is in PATH; name one with --python"
    for python in pythons:
        why = _trouble(python, variables, launch, visited)
        if not why:
            return python, ""
    return "", why


def _trouble(python: str, variables: Mapping[str, str], launch: Launch, visited: Sequence[Path]) -> str:
    command = [sys.executable, "-I", str(LAUNCHER), launch.encode(), python, "-c", _LOOK, *map(str, visited)]
    try:
        done = subprocess.run(
            command,
            env={**variables, "PYTHONPATH": python_path(variables), "PYTHONDONTWRITEBYTECODE": "1"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            cwd="/",
            timeout=_TRIED,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"{python} did not answer within {_TRIED:.0f} s"
    said = done.stderr.decode(errors="replace").strip().splitlines()
    return "" if done.returncode == 0 else f"{python}: {said[-1] if said else 'it ended without a word'}"


def _interpreters(path: str) -> Iterable[str]:
    """Give the Pythons in a PATH that are not the one that runs, the newest kind first."""
    own = Path(sys.executable).resolve()
    found: dict[Path, tuple[int, str]] = {}
    for folder in path.split(os.pathsep):
        if not folder.startswith("/") or not Path(folder).is_dir():
            continue
        for entry in sorted(Path(folder).glob("python3.*")):
            version = re.fullmatch(r"python3\.(\d+)", entry.name)
            real = entry.resolve()
            # A shim of a version manager is a script, and need not stand for anything.
            if version and int(version[1]) >= OLDEST[1] and real != own and _is_program(real):
                found.setdefault(real, (int(version[1]), str(entry)))
    return [name for _, name in sorted(found.values(), reverse=True)]


def _is_program(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(4) == b"\x7fELF" and shutil.which(str(path)) is not None
    except OSError:
        return False
