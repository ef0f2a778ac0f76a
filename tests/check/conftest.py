"""Small packages that tell what they were built under, in the repository of the small real builds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.build.conftest import Bench, bench, workbench
from tests.conftest import open_folder

__all__ = ["Telltale", "bench", "telltale", "tmp_path", "workbench"]

RECIPE = """\
[package]
name = "{name}"
version = "1.0"
license = "Apache-2.0"

[[sources]]
kind = "path"
path = "sources/tiny-c"

[build]
environment = "bullseye"
inputs = [{inputs}]
script = '''
{script}
'''
"""

# What each builds, by the one variation that it must notice.
TELLTALES = {
    "jobs": 'echo "$LAYERLOCK_JOBS" > /out/told',
    "affinity": "nproc > /out/told",
    "processor": "{ grep -m 1 'model name' /proc/cpuinfo; grep -c ^cpu[0-9] /proc/stat; } > /out/told",
    "kernel": "uname -r > /out/told; cat /proc/version /proc/sys/kernel/osrelease >> /out/told",
    "address-space": (
        "a=$(grep stack /proc/self/maps); b=$(grep stack /proc/self/maps)\n"
        '[ "$a" = "$b" ] && echo fixed > /out/told || echo random > /out/told'
    ),
    "clock": (
        "date +%Y > /out/told; touch new; stat -c %y new | cut -c 1-4 >> /out/told\n"
        "stat -c %Y /usr/bin/gcc >> /out/told\n"
        "python3.9 -c 'import datetime; print(datetime.date.today().year)' >> /out/told\n"
        "perl -e 'print 1900 + (gmtime)[5], qq(\\n)' >> /out/told"
    ),
    "directory-order": (
        "mkdir many; for i in $(seq 50); do : > many/$i; done\n"
        "{ ls -U many; ls -U /usr/lib; find many; python3.9 -c 'import os; print(os.listdir(\"many\"))'; } > /out/told"
    ),
}
# What the sandbox hides: nothing of the driver's surroundings may be told by this.
HIDDEN = """\
{ id; umask; cat /proc/sys/kernel/hostname; date +%Z; env | grep -v LAYERLOCK_JOBS | sort; ulimit -a; pwd
  ls -A / /dev /dev/shm /tmp /build
  stat -c '%U %a %h %F' /build /out /tmp /dev/shm /usr/bin/gcc
  find /build /layerlock -printf '%M %n %u %p\\n' | grep -v /vary | sort; } > /out/told
"""


class Telltale:
    """Writes packages into the small repository, and a package that needs them all."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.packages = bench.folder / "recipes" / "packages"

    def write(self, scripts: Mapping[str, str]) -> None:
        """Write a package for each script, and `all-of-them`, which needs them."""
        for name, script in scripts.items():
            self._write(name, script, ())
        self._write("all-of-them", "touch /out/nothing", tuple(scripts))

    def _write(self, name: str, script: str, inputs: tuple[str, ...]) -> None:
        listed = ", ".join(f'"{needed}"' for needed in inputs)
        text = RECIPE.format(name=name, script=script, inputs=listed)
        (self.packages / f"{name}.toml").write_text(text, encoding="utf-8")


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """Give a folder as pytest does, but one that every user can look into: one variation is another user."""
    with open_folder() as folder:
        yield folder


@pytest.fixture
def telltale(bench: Bench) -> Telltale:
    """Give the writer of small packages."""
    return Telltale(bench)
