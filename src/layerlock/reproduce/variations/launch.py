"""From names of variations to what is changed of the driver's process; pure but for where the driver itself stands."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from importlib.util import find_spec
from pathlib import Path

import layerlock

LAUNCHER = Path(__file__).with_name("launcher.py")

# <sys/personality.h>
UNAME26 = 0x0020000
ADDR_NO_RANDOMIZE = 0x0040000

HOST_NAME = "another-host.example"
UMASK = 0o077
# The POSIX form, which needs no data of zones; ahead of UTC is negative in it.
TIME_ZONE = "VARIED-14:45"
LOCALE = {"LANG": "tr_TR.UTF-8", "LC_ALL": "tr_TR.UTF-8", "LANGUAGE": "tr"}
STORE_FOLDER = "a store, elsewhere/Größe und ünïcode 変/deeper and deeper still"
HOME_FOLDER = "another home"

MISLEADING = {
    "ARFLAGS": "cr",
    "CC": "false",
    "CFLAGS": "-O0 -g -DVARIED",
    "CPATH": "/nonexistent/include",
    "CXX": "false",
    "CXXFLAGS": "-O0 -g -DVARIED",
    "FFLAGS": "-O0 -g",
    "GCC_COLORS": "error=01;31",
    "LAYERLOCK_VARIED": "yes",
    "LDFLAGS": "-Wl,-rpath,/nonexistent",
    "LIBRARY_PATH": "/nonexistent/lib",
    "MAKEFLAGS": "-j7",
    "NPY_NUM_BUILD_JOBS": "7",
    "PKG_CONFIG_PATH": "/nonexistent/pkgconfig",
    "PYTHONHASHSEED": "4242",
    "SOURCE_DATE_EPOCH": "1",
    "TERM": "varied",
    "ZIPOPT": "-0",
}
"""What would change or break most builds if it reached them."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Launch:
    """What is changed of a process before it becomes the driver; None and empty change nothing.

    `environment` is set on top of the variables that there are, `unset` taken out. `jobs` are the processes at once,
    `store` the store's folder below the folder of the check, `python` the interpreter; empty for the usual one.
    """

    affinity: tuple[int, ...] | None = None
    personality: int = 0
    host_name: str = ""
    uid: int | None = None
    gid: int | None = None
    umask: int | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    unset: tuple[str, ...] = ()
    jobs: int = 0
    store: str = "store"
    python: str = ""

    def encode(self) -> str:
        """Give what the launcher reads."""
        return json.dumps(asdict(self))


@dataclass(frozen=True, kw_only=True, slots=True)
class Choices:
    """What the variations that have a choice take: the processor, the user, the interpreters, the usual jobs.

    `folder` is the folder of the check, `preload` what gives the driver another clock and order of directories.
    """

    folder: Path
    processor: int
    user: int
    jobs: int
    python: str
    user_python: str
    user_other_python: str
    preload: Path | None = None


def launch(names: frozenset[str], choices: Choices) -> Launch:
    """Give what is changed under some variations."""
    environment: dict[str, str] = {}
    unset: list[str] = []
    if "environment" in names:
        environment |= MISLEADING
    if "locale" in names:
        environment |= LOCALE
    if "time-zone" in names:
        environment["TZ"] = TIME_ZONE
    if "home" in names:
        environment["HOME"] = str(choices.folder / HOME_FOLDER)
        unset += ["XDG_CACHE_HOME", "XDG_CONFIG_HOME"]
    if names & {"clock", "directory-order"} and choices.preload is not None:
        environment["LD_PRELOAD"] = str(choices.preload)
    user = choices.user if "user" in names else None
    python = choices.python if "python" in names else ""
    if user is not None:
        other = choices.user_other_python if "python" in names else ""
        python = other or choices.user_python
    return Launch(
        affinity=(choices.processor,) if "affinity" in names else None,
        personality=(UNAME26 if "kernel" in names else 0)
        | (ADDR_NO_RANDOMIZE if "address-space" in names else 0),
        host_name=HOST_NAME if "host-name" in names else "",
        uid=user,
        gid=user,
        umask=UMASK if "umask" in names else None,
        environment=environment,
        unset=tuple(unset),
        jobs=choices.jobs + (1 if "jobs" in names else 0),
        store=STORE_FOLDER if "store-folder" in names else "store",
        python=python,
    )


def python_path(variables: Mapping[str, str]) -> str:
    """Give the PYTHONPATH by which any interpreter finds the driver and what it imports.

    What it imports is pure Python, or has a pure form beside the compiled one that is taken where that does not fit.
    """
    places = [Path(layerlock.__file__).parents[1]]
    spec = find_spec("requests")
    if spec is not None and spec.origin is not None:
        places.append(Path(spec.origin).parents[1])
    return ":".join(dict.fromkeys([*map(str, places), *filter(None, [variables.get("PYTHONPATH", "")])]))
