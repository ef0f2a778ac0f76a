"""Derive the list of what Amazon Linux 2's libraries export, from pinned Debian packages, for one processor.

    python -m tools.exports arm64              write recipes/runtimes/amazonlinux2-arm64.exports
    python -m tools.exports arm64 x86_64 --check   say which list is another one than would be written, and fail

The libraries are those of the environments that stand in for Lambda in smoke tests; what is newer in them than
Amazon Linux 2 is cut off by guest/derive.py. The packages are fetched into a store of the driver's.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from layerlock.cli.construct import construct
from layerlock.cli.settings import Settings
from layerlock.io.archives import unpack_deb
from layerlock.workflows.driver import Driver
from layerlock.workflows.planning import deb_pin

ROOT = Path(__file__).resolve().parent.parent
DERIVE = ROOT / "src" / "layerlock" / "guest" / "derive.py"

ENVIRONMENTS = {"x86_64": "lambda-al2", "arm64": "lambda-al2-arm64"}
TRIPLETS = {"x86_64": "x86_64-linux-gnu", "arm64": "aarch64-linux-gnu"}
LOADERS = {"x86_64": "ld-linux-x86-64.so.2", "arm64": "ld-linux-aarch64.so.1"}

LIBRARIES = (
    "libanl.so.1", "libbz2.so.1", "libc.so.6", "libcrypt.so.1", "libdl.so.2", "libgcc_s.so.1",
    "liblzma.so.5", "libm.so.6", "libmvec.so.1", "libnsl.so.1", "libpthread.so.0", "libresolv.so.2",
    "librt.so.1", "libstdc++.so.6", "libutil.so.1", "libz.so.1",
)  # fmt: skip
UNLISTED = ("libcurl.so.4", "libffi.so.6", "libsqlite3.so.0", "libxml2.so.2")
"""Present, but of a version for which Debian 11 has no likeness."""
ONLY = {"libmvec.so.1": "x86_64"}
"""glibc 2.26 has its vector functions for one processor alone."""
RENAMED = {"libbz2.so.1.0": "libbz2.so.1"}
"""What Debian calls otherwise than Amazon Linux."""
LEVELS = {
    "CXXABI": "1.3.11", "GCC": "7.0.0", "GLIBC": "2.26", "GLIBCXX": "3.4.24", "XCRYPT": "0", "XZ": "5.2.2",
    "ZLIB": "1.2.7",
}  # fmt: skip
LOST = {
    "arm64": {
        "libpthread.so.0": (
            "GLIBC_2.17",
            (
                "__nanosleep", "__vfork", "__wait", "nanosleep", "pthread_attr_destroy",
                "pthread_attr_getdetachstate", "pthread_attr_getinheritsched", "pthread_attr_getschedparam",
                "pthread_attr_init", "pthread_attr_setdetachstate", "pthread_attr_setinheritsched",
                "pthread_attr_setschedparam", "pthread_equal", "pthread_self", "vfork", "wait", "waitpid",
            ),
        )
    }
}  # fmt: skip
"""What glibc 2.28 has there by its own list of symbols (libpthread.abilist of aarch64) and 2.31 in libc.so.6 alone."""

HEADER = """\
What the libraries of Amazon Linux 2 ({architecture}) export, for checking layers against python3.9, python3.10 and python3.11.

Derived by guest/derive.py from the libraries of Debian 11 (glibc 2.31, gcc 10.2, zlib 1.2.11), cut at the levels of Amazon Linux 2:
glibc 2.26, GLIBCXX_3.4.24, CXXABI_1.3.11, GCC_7.0.0, zlib 1.2.7, xz 5.2.2.
Certain: glibc's and libstdc++'s symbols with versions, which a later release never adds to an earlier version.
Not certain: libz's symbols without a version (those of 1.2.7 and later are not told apart), what a library lost since
(libnsl's and libcrypt's old functions), and what Amazon has added. libcrypt is libxcrypt's here and glibc's there: the versions up to GLIBC_2.26 agree.
Unlisted libraries are there, but nobody has listed their symbols: a layer that relies on one is not judged on it."""  # noqa: E501 - lines of the list's head


def main() -> int:
    """Write or check the lists that the command line names; give the exit status."""
    check = "--check" in sys.argv
    settings = Settings(
        repository=ROOT, store=Path(os.environ["LAYERLOCK_STORE"]), environment=dict(os.environ)
    )
    driver = construct(settings, lambda _: None)
    status = 0
    for architecture in [word for word in sys.argv[1:] if not word.startswith("-")]:
        path = ROOT / "recipes" / "runtimes" / f"amazonlinux2-{architecture}.exports"
        text = derive(driver, architecture)
        if check and (not path.is_file() or path.read_text(encoding="utf-8") != text):
            print(f"out of date: {path.relative_to(ROOT)}")
            status = 1
        elif not check:
            path.write_text(text, encoding="utf-8")
            print(f"written: {path.relative_to(ROOT)}")
    return status


def derive(driver: Driver, architecture: str) -> str:
    """Give the text of the list for a processor."""
    with tempfile.TemporaryDirectory(prefix="layerlock-") as scratch:
        root, out = Path(scratch, "root"), Path(scratch, "out")
        out.mkdir()
        environment = driver.repository.environment(ENVIRONMENTS[architecture])
        for deb in environment.debs:
            unpack_deb(driver.supplier.fetch(deb_pin(environment.name, deb)), root)
        folders = [root / top / TRIPLETS[architecture] for top in ("lib", "usr/lib")]
        debian = {ours: theirs for theirs, ours in RENAMED.items()}
        names = [LOADERS[architecture], *(n for n in LIBRARIES if ONLY.get(n, architecture) == architecture)]
        task = {
            "name": "exports",
            "header": HEADER.format(architecture=architecture),
            "libraries": [
                {"name": name, "file": str(_find(debian.get(name, name), folders))} for name in names
            ],
            "levels": LEVELS,
            "renamed": RENAMED,
            "unlisted": UNLISTED,
            "out": str(out),
        }
        Path(scratch, "task.json").write_text(json.dumps(task), encoding="utf-8")
        subprocess.run([sys.executable, str(DERIVE), str(Path(scratch, "task.json"))], check=True)
        return _with_lost(Path(out, "exports").read_text(encoding="utf-8"), architecture)


def _with_lost(text: str, architecture: str) -> str:
    for library, (version, names) in LOST.get(architecture, {}).items():
        before, head, after = text.partition(f"\nlibrary {library}\n")
        needs, _, symbols = after.partition("\n")
        note = "# moved to libc.so.6 since"
        text = f"{before}{head}{needs}\n{note}\n{version} {' '.join(sorted(names))}\n{symbols}"
    return text


def _find(name: str, folders: list[Path]) -> Path:
    return next(folder / name for folder in folders if (folder / name).exists())


if __name__ == "__main__":
    sys.exit(main())
