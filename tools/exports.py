"""Derive the lists of what Amazon Linux's libraries export, from pinned Debian packages.

    python -m tools.exports amazonlinux2-arm64     write recipes/runtimes/amazonlinux2-arm64.exports
    python -m tools.exports --check                say which lists are others than would be written, and fail

Without names it is all lists. The libraries are those of the environments that stand in for Lambda in smoke tests;
what is newer in them than Amazon Linux is cut off by guest/derive.py. The packages are fetched into a store of the
driver's.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from layerlock.audit.exports import parse_exports
from layerlock.cli.construct import construct
from layerlock.cli.settings import Settings
from layerlock.io.archives import unpack_deb
from layerlock.workflows.driver import Driver
from layerlock.workflows.planning import deb_pin

ROOT = Path(__file__).resolve().parent.parent
DERIVE = ROOT / "src" / "layerlock" / "guest" / "derive.py"

TRIPLETS = {"x86_64": "x86_64-linux-gnu", "arm64": "aarch64-linux-gnu"}
LOADERS = {"x86_64": "ld-linux-x86-64.so.2", "arm64": "ld-linux-aarch64.so.1"}
RENAMED = {"libbz2.so.1.0": "libbz2.so.1"}
"""What Debian calls otherwise than Amazon Linux."""
MOVED = ("libanl.so.1", "libdl.so.2", "libpthread.so.0", "libresolv.so.2", "librt.so.1", "libutil.so.1")
"""What libraries glibc 2.34 has emptied, wholly or in part: it still finds what programs ask them for, in libc.so.6."""


@dataclass(frozen=True, kw_only=True, slots=True)
class System:
    """What a release of Amazon Linux is derived from, for one processor.

    `libraries` are listed, by the environment that their likenesses are taken from; `unlisted` are present, but of a
    version that no environment has. `levels` is where symbol versions are cut.

    The loader looks for a symbol in all libraries, and the checks of layers only in the one that a reference names. So
    what has moved to libc.so.6 is listed with the library that had it too: `lost` (library -> version -> symbols), or
    what the libraries of the environment `older` have of libc.so.6's symbols.
    """

    architecture: str
    libraries: Mapping[str, tuple[str, ...]]
    unlisted: tuple[str, ...]
    levels: Mapping[str, str]
    header: str
    lost: Mapping[str, Mapping[str, tuple[str, ...]]] = field(default_factory=dict)
    older: str = ""


LIBRARIES_2 = (
    "libanl.so.1", "libbz2.so.1", "libc.so.6", "libcrypt.so.1", "libdl.so.2", "libgcc_s.so.1",
    "liblzma.so.5", "libm.so.6", "libnsl.so.1", "libpthread.so.0", "libresolv.so.2",
    "librt.so.1", "libstdc++.so.6", "libutil.so.1", "libz.so.1",
)  # fmt: skip
UNLISTED_2 = ("libcurl.so.4", "libffi.so.6", "libsqlite3.so.0", "libxml2.so.2")
LEVELS_2 = {
    "CXXABI": "1.3.11", "GCC": "7.0.0", "GLIBC": "2.26", "GLIBCXX": "3.4.24", "XCRYPT": "0", "XZ": "5.2.2",
    "ZLIB": "1.2.7",
}  # fmt: skip
HEADER_2 = """\
What the libraries of Amazon Linux 2 ({architecture}) export, for checking layers against python3.9, python3.10 and python3.11.

Derived by guest/derive.py from the libraries of Debian 11 (glibc 2.31, gcc 10.2, zlib 1.2.11), cut at the levels of Amazon Linux 2:
glibc 2.26, GLIBCXX_3.4.24, CXXABI_1.3.11, GCC_7.0.0, zlib 1.2.7, xz 5.2.2.
Certain: glibc's and libstdc++'s symbols with versions, which a later release never adds to an earlier version.
Not certain: libz's symbols without a version (those of 1.2.7 and later are not told apart), what a library lost since
(libnsl's and libcrypt's old functions), and what Amazon has added. libcrypt is libxcrypt's here and glibc's there: the versions up to GLIBC_2.26 agree.
Unlisted libraries are there, but nobody has listed their symbols: a layer that relies on one is not judged on it."""  # noqa: E501 - lines of the list's head
HEADER_2023 = """\
What the libraries of Amazon Linux 2023 (x86_64) export, for checking layers against python3.12, python3.13 and python3.14.

Derived by guest/derive.py from libraries of Debian, cut at the levels of Amazon Linux 2023: of Debian 12 glibc (2.36, cut at 2.34), gcc's
(12.2, cut at GLIBCXX_3.4.29, CXXABI_1.3.13 and GCC_7.0.0, as gcc 11 has them) and libffi (3.4.4, the same); of Debian 11 bzip2 1.0.8, xz 5.2.5
and zlib 1.2.11, the same releases.
What moved to libc.so.6 is listed with its former library too, as glibc 2.31 had it: the loader finds it for whoever asks that one.
Certain: glibc's and libstdc++'s symbols with versions, which a later release never adds to an earlier version.
Not certain: that Amazon Linux 2023 keeps the releases named as the same for as long as a runtime lives (they may grow, and then this list has too
little), and what Amazon has added. libcrypt.so.1 and libnsl.so.1 are left out: there they are packages that a small system need not have.
Unlisted libraries are there, but nobody has listed their symbols: a layer that relies on one is not judged on it."""  # noqa: E501 - lines of the list's head

SYSTEMS = {
    "amazonlinux2-arm64": System(
        architecture="arm64",
        libraries={"lambda-al2-arm64": LIBRARIES_2},
        unlisted=UNLISTED_2,
        levels=LEVELS_2,
        header=HEADER_2.format(architecture="arm64"),
        # What glibc 2.28 has there by its own list of symbols (libpthread.abilist of aarch64), and 2.31 in
        # libc.so.6 alone.
        lost={
            "libpthread.so.0": {
                "GLIBC_2.17": (
                    "__nanosleep", "__vfork", "__wait", "nanosleep", "pthread_attr_destroy",
                    "pthread_attr_getdetachstate", "pthread_attr_getinheritsched", "pthread_attr_getschedparam",
                    "pthread_attr_init", "pthread_attr_setdetachstate", "pthread_attr_setinheritsched",
                    "pthread_attr_setschedparam", "pthread_equal", "pthread_self", "vfork", "wait", "waitpid",
                )
            }
        },
    ),
    "amazonlinux2-x86_64": System(
        architecture="x86_64",
        # glibc 2.26 has the vector functions of libmvec for this processor alone.
        libraries={"lambda-al2": (*LIBRARIES_2, "libmvec.so.1")},
        unlisted=UNLISTED_2,
        levels=LEVELS_2,
        header=HEADER_2.format(architecture="x86_64"),
    ),
    "amazonlinux2023-x86_64": System(
        architecture="x86_64",
        libraries={
            "lambda-al2023": (
                "libanl.so.1", "libc.so.6", "libdl.so.2", "libffi.so.8", "libgcc_s.so.1", "libm.so.6", "libmvec.so.1",
                "libpthread.so.0", "libresolv.so.2", "librt.so.1", "libstdc++.so.6", "libutil.so.1",
            ),
            "lambda-al2": ("libbz2.so.1", "liblzma.so.5", "libz.so.1"),
        },
        unlisted=("libcurl.so.4", "libsqlite3.so.0", "libxml2.so.2"),
        levels={
            "CXXABI": "1.3.13", "GCC": "7.0.0", "GLIBC": "2.34", "GLIBCXX": "3.4.29", "XZ": "5.2.5", "ZLIB": "1.2.11",
        },
        header=HEADER_2023,
        older="lambda-al2",
    ),
}  # fmt: skip


def main() -> int:
    """Write or check the lists that the command line names; give the exit status."""
    check = "--check" in sys.argv
    settings = Settings(
        repository=ROOT, store=Path(os.environ["LAYERLOCK_STORE"]), environment=dict(os.environ)
    )
    driver = construct(settings, lambda _: None)
    status = 0
    for name in [word for word in sys.argv[1:] if not word.startswith("-")] or sorted(SYSTEMS):
        path = ROOT / "recipes" / "runtimes" / f"{name}.exports"
        text = derive(driver, name)
        if check and (not path.is_file() or path.read_text(encoding="utf-8") != text):
            print(f"out of date: {path.relative_to(ROOT)}")
            status = 1
        elif not check:
            path.write_text(text, encoding="utf-8")
            print(f"written: {path.relative_to(ROOT)}")
    return status


def derive(driver: Driver, name: str) -> str:
    """Give the text of a list, by its name."""
    system = SYSTEMS[name]
    loader = {next(iter(system.libraries)): (LOADERS[system.architecture],)}
    text = _cut(
        driver, system, {place: (*loader.get(place, ()), *names) for place, names in system.libraries.items()}
    )
    lost = dict(system.lost)
    if system.older:
        was = parse_exports(_cut(driver, system, {system.older: MOVED}), name)
        libc = parse_exports(text, name)["libc.so.6"].symbols
        for library in MOVED:
            lost[library] = {
                version: tuple(symbol for symbol in was[library].symbols if version in libc.get(symbol, ()))
                for version in sorted(was[library].versions)
            }
    return _with_lost(text, lost)


def _cut(driver: Driver, system: System, libraries: Mapping[str, tuple[str, ...]]) -> str:
    """Give the list of some libraries, by environment."""
    debian = {ours: theirs for theirs, ours in RENAMED.items()}
    with tempfile.TemporaryDirectory(prefix="layerlock-") as scratch:
        rows = []
        for environment, names in libraries.items():
            root = Path(scratch, environment)
            for deb in driver.repository.environment(environment).debs:
                unpack_deb(driver.supplier.fetch(deb_pin(environment, deb)), root)
            folders = [root / top / TRIPLETS[system.architecture] for top in ("lib", "usr/lib")]
            rows += [{"name": name, "file": str(_find(debian.get(name, name), folders))} for name in names]
        task = {
            "name": "exports",
            "header": system.header,
            "libraries": rows,
            "levels": system.levels,
            "renamed": RENAMED,
            "unlisted": system.unlisted,
            "out": scratch,
        }
        Path(scratch, "task.json").write_text(json.dumps(task), encoding="utf-8")
        subprocess.run([sys.executable, str(DERIVE), str(Path(scratch, "task.json"))], check=True)
        return Path(scratch, "exports").read_text(encoding="utf-8")


def _with_lost(text: str, lost: Mapping[str, Mapping[str, tuple[str, ...]]]) -> str:
    for library, versions in lost.items():
        before, head, after = text.partition(f"\nlibrary {library}\n")
        needs, _, symbols = after.partition("\n")
        lines = [f"{version} {' '.join(sorted(names))}" for version, names in versions.items() if names]
        text = "\n".join([f"{before}{head}{needs}", "# moved to libc.so.6 since", *lines, symbols])
    return text


def _find(name: str, folders: list[Path]) -> Path:
    return next(folder / name for folder in folders if (folder / name).exists())


if __name__ == "__main__":
    sys.exit(main())
