"""A wheel whose name promises an older C library than its objects ask for, from assembly to the message."""

from __future__ import annotations

import json
import sys
import zipfile
from pathlib import Path

import pytest

from layerlock.build.failures import failure
from layerlock.errors import AbiViolation
from layerlock.layer.wheels import name_wheel, promised_glibc, wheel_of
from layerlock.model.derivation import Derivation, Transform
from layerlock.sandbox.spec import Outcome

from .conftest import Entry, Toolchain
from .test_assemble import ARCHITECTURE, SITE

ENDED = Outcome(
    status=1,
    signal=None,
    out_of_memory=False,
    timed_out=False,
    log_overflow=False,
    output_overflow=False,
    process_overflow=False,
    cancelled=False,
    killed_process=None,
    seconds=1.0,
    cpu_seconds=1.0,
    peak_memory=1,
    control="watchdog",
)
DERIVATION = Derivation(
    name="layer-demo-tree", version="", system="x86_64-linux", action=Transform(name="x", parameters={})
)


def wheel(path: Path, *members: str) -> Path:
    """Make an archive with some names."""
    with zipfile.ZipFile(path, "w") as archive:
        for member in members:
            archive.writestr(member, "")
    return path


@pytest.mark.sandbox
def test_the_wheel_and_its_promise_are_named(tmp_path: Path, entry: Entry, toolchain: Toolchain) -> None:
    script = toolchain.folder / "versions"
    script.write_text("GLIBC_2.17 { global: sin; local: *; }; GLIBC_2.29 { global: exp; };")
    system = toolchain.shared(
        "system/libm.so.6",
        "double sin(double x){return x;} double exp(double x){return x;}",
        *("-nostdlib", "-Wl,-soname,libm.so.6", f"-Wl,--version-script,{script}"),
    )
    package = tmp_path / "thing"
    module = package / SITE / "thing" / "_speed.so"
    module.parent.mkdir(parents=True)
    built = toolchain.shared(
        "_speed.so", "double exp(double); double f(double x){return exp(x);}", "-nostdlib", str(system)
    )
    module.write_bytes(built.read_bytes())
    exports = tmp_path / "runtime.exports"
    exports.write_text("library libm.so.6\nGLIBC_2.17 sin exp\n")
    ended = entry(
        "assemble",
        {
            "layer": "demo",
            "architecture": ARCHITECTURE,
            "packages": [{"name": "thing", "path": str(package)}],
            "runtime": {"name": "python3.11", "libraries_path": ["/lib64"], "exports": str(exports)},
            "python": {"version": "3.11", "executable": sys.executable},
            "strip": False,
        },
    )
    assert ended.status == 1
    error = failure(DERIVATION, ENDED, tmp_path / "log", ended.out.parent / "scratch", jobs=1)
    assert isinstance(error, AbiViolation)
    assert error.file == f"{SITE}/thing/_speed.so"
    name = "thing-1-cp311-cp311-manylinux2014_x86_64.manylinux_2_17_x86_64.whl"
    held = {name: wheel(tmp_path / name, "thing/__init__.py", "thing/_speed.so")}
    name_wheel(error, held)
    assert error.hint.startswith(
        f"the file is from the wheel {name}, whose name promises that glibc 2.17 is enough; it asks for 2.29: "
    )
    assert "under `lower`" in error.hint


def test_a_wheel_that_keeps_its_promise_is_named_without_blame(tmp_path: Path) -> None:
    name = "thing-1-cp39-cp39-manylinux_2_28_aarch64.whl"
    error = AbiViolation("python/thing/a.so: version `GLIBC_2.28' of libc.so.6 not found", hint="build it")
    error.file = "python/thing/a.so"
    name_wheel(error, {name: wheel(tmp_path / name, "thing/a.so")})
    assert error.hint == f"the file is from the wheel {name}; build it"


def test_a_file_of_no_wheel_or_of_two_is_left_alone(tmp_path: Path) -> None:
    one, two = (wheel(tmp_path / f"{name}.whl", "thing/a.so", "g/a.so") for name in ("one", "two"))
    assert wheel_of("python/thing/a.so", {"one": one}) == "one"
    assert wheel_of("python/thing/a.so", {"one": one, "two": two}) is None
    assert wheel_of("python/thing/b.so", {"one": one}) is None
    assert wheel_of("python/lib/long/a.so", {"one": one}) is None
    assert wheel_of("", {"one": one}) is None


@pytest.mark.parametrize(
    ("wheel_name", "level"),
    [
        ("a-1-cp39-cp39-manylinux2014_aarch64.manylinux_2_17_aarch64.whl", (2, 17)),
        ("a-1-cp39-cp39-manylinux_2_17_aarch64.manylinux_2_28_aarch64.whl", (2, 17)),
        ("a-1-cp39-cp39-manylinux1_x86_64.whl", (2, 5)),
        ("a-1-cp39-cp39-manylinux2010_x86_64.whl", (2, 12)),
        ("a-1-cp39-cp39-linux_x86_64.whl", None),
        ("a-1-py3-none-any.whl", None),
    ],
)
def test_what_a_name_promises(wheel_name: str, level: tuple[int, int] | None) -> None:
    assert promised_glibc(wheel_name) == level


def test_a_report_without_a_file_is_told_all_the_same(tmp_path: Path) -> None:
    (tmp_path / "report.json").write_text(json.dumps({"error": {"kind": "abi", "message": "m"}}))
    error = failure(DERIVATION, ENDED, tmp_path / "log", tmp_path, jobs=1)
    assert isinstance(error, AbiViolation)
    assert error.file == ""
    name_wheel(error, {})
    assert error.message == "layer-demo-tree: m"
