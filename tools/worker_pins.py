"""Pin what the image of workers is made from: after the locks under requirements/, by ./nox -s requirements

`python -m tools.worker_pins --debian` also moves its Debian packages to what the suite has today.
"""

from __future__ import annotations

import datetime
import json
import os
import re
import sys
from pathlib import Path
from typing import Final

from packaging.requirements import Requirement

from layerlock.cli import surroundings
from layerlock.cli.construct import construct
from layerlock.cli.settings import Settings
from layerlock.events import silent
from layerlock.workflows.resolving import pin_package

ROOT: Final = Path(__file__).resolve().parent.parent
WORKER: Final = ROOT / "worker"
PACKAGE: Final = WORKER / "recipes" / "packages" / "worker.toml"
ENVIRONMENT: Final = WORKER / "recipes" / "environments" / "bookworm.toml"
# Debian 12's Python, for the markers of the locks.
_TARGET: Final = {
    "implementation_name": "cpython",
    "platform_python_implementation": "CPython",
    "python_full_version": "3.11.2",
    "python_version": "3.11",
    "sys_platform": "linux",
}


def wanted() -> tuple[str, ...]:
    """Give what a worker needs, as requirements of one version each: the lock `cluster` without what is nox's alone."""
    cluster, nox, driver = (_pinned(name) for name in ("cluster", "nox", "driver"))
    return tuple(f"{name}=={cluster[name]}" for name in cluster if name in driver or name not in nox)


def _pinned(lock: str) -> dict[str, str]:
    """Give the versions that a lock pins for a worker's Python, by name."""
    lines = (ROOT / "requirements" / f"{lock}.txt").read_text().splitlines()
    every = [Requirement(line.rstrip("\\ ")) for line in lines if line and line[0] not in "# "]
    return {
        one.name: str(one.specifier).removeprefix("==")
        for one in every
        if one.marker is None or one.marker.evaluate(_TARGET)
    }


def write(*, debian: bool) -> None:
    """Write the pins of wheels, which are fetched, and on demand those of Debian packages."""
    wants = "".join(f"  {json.dumps(each)},\n" for each in wanted())
    text = PACKAGE.read_text()
    PACKAGE.write_text(re.sub(r"wants = \[\n.*?\]", f"wants = [\n{wants}]", text, count=1, flags=re.DOTALL))
    if debian:
        # By then the snapshot service has what the archive has now.
        day = datetime.datetime.now(datetime.UTC).date() + datetime.timedelta(days=1)
        text = ENVIRONMENT.read_text()
        ENVIRONMENT.write_text(re.sub(r'snapshot = ".*"', f'snapshot = "{day:%Y%m%d}T000000Z"', text))
    store = surroundings.store(None, os.environ, Path.cwd())
    driver = construct(Settings(repository=WORKER, store=store, environment=dict(os.environ)), silent)
    if debian:
        driver.supplier.closure(
            driver.repository.environment("bookworm"), ENVIRONMENT.with_suffix(".debs.toml")
        )
    pinned = pin_package(driver, driver.repository, "worker", frozenset())
    print(f"{pinned.file}: {pinned.wheels} wheels, {len(pinned.added) + len(pinned.moved)} of them new")


if __name__ == "__main__":
    write(debian="--debian" in sys.argv[1:])
