"""Finding bubblewrap, and saying why no sandbox can be made where none can."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from layerlock.errors import FetchError, SandboxUnavailable
from layerlock.model.recipe import Deb
from layerlock.sandbox.probe import explain, probe
from layerlock.sandbox.program import Program, find, hosts_own, pinned, unpacked

pytestmark = pytest.mark.sandbox

PROBE = """
import sys
from layerlock.errors import SandboxUnavailable
from layerlock.sandbox.probe import probe
from layerlock.sandbox.program import Program
try:
    probe(Program(command=tuple(sys.argv[1:]), origin="test"))
except SandboxUnavailable as error:
    print(error.message, "|", error.hint)
else:
    print("works")
"""
# Answers clone and unshare of user namespaces with EPERM, as container engines' filters do.
FILTER = """
import ctypes, struct
libc = ctypes.CDLL(None, use_errno=True)
clone, unshare = {"x86_64": (56, 272), "aarch64": (220, 97)}[__import__("platform").machine()]
def op(code, jt, jf, k): return struct.pack("=HBBI", code, jt, jf, k)
LD, JEQ, JSET, RET = 0x20, 0x15, 0x45, 0x06
program = b"".join([
    op(LD, 0, 0, 0), op(JEQ, 1, 0, clone), op(JEQ, 0, 3, unshare),
    op(LD, 0, 0, 16), op(JSET, 0, 1, 0x10000000), op(RET, 0, 0, 0x00050001), op(RET, 0, 0, 0x7FFF0000)])
code = ctypes.create_string_buffer(program)
class Fprog(ctypes.Structure):
    _fields_ = [("len", ctypes.c_ushort), ("filter", ctypes.c_void_p)]
assert libc.prctl(38, 1, 0, 0, 0) == 0
assert libc.prctl(22, 2, ctypes.byref(Fprog(len(program) // 8, ctypes.addressof(code))), 0, 0) == 0
"""


def _probed(program: Program, *before: str, prelude: str = "") -> str:
    command = [*before, sys.executable, "-c", prelude + PROBE, *program.command]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout


def test_both_machines_are_pinned() -> None:
    for machine, architecture in (("x86_64", "amd64"), ("aarch64", "arm64")):
        pin = pinned(machine)
        assert pin is not None
        assert [deb.name for deb in pin.debs] == [
            "bubblewrap",
            "libc6",
            "libcap2",
            "libpcre2-8-0",
            "libselinux1",
        ]
        assert all(deb.path.endswith(f"_{architecture}.deb") for deb in pin.debs)
        assert all(deb.path.startswith("debian:debian/pool/main/") for deb in pin.debs)
    assert pinned("m68k") is None


def test_the_pinned_program_comes_first(unpacked_debs: Path | None) -> None:
    if unpacked_debs is None:
        pytest.skip("apt does not give the pinned packages here")
    asked: list[tuple[Deb, ...]] = []

    def provide(debs: tuple[Deb, ...]) -> Path:
        asked.append(debs)
        assert unpacked_debs is not None
        return unpacked_debs

    program = find(provide, probe)
    assert program.origin == "pinned"
    assert asked[0][0].name == "bubblewrap"


def test_the_host_stands_in_and_both_reasons_are_told(tmp_path: Path) -> None:
    def provide(debs: tuple[Deb, ...]) -> Path:
        raise FetchError("no address gave it", hint="go online")

    own = tmp_path / "bwrap"
    own.write_text("#!/bin/sh\necho bubblewrap 0.9.1\n")
    own.chmod(0o755)
    seen: list[Program] = []
    assert find(provide, seen.append, folders=str(tmp_path)) == Program(command=(str(own),), origin="host")
    own.write_text("#!/bin/sh\necho bubblewrap 0.4.1\n")
    with pytest.raises(SandboxUnavailable, match=r"no address gave it.*too old: bubblewrap 0.4.1") as caught:
        find(provide, seen.append, folders=str(tmp_path))
    assert caught.value.hint == "go online"
    with pytest.raises(SandboxUnavailable, match="the host has no bubblewrap"):
        hosts_own(str(tmp_path / "none"))


def test_a_missing_loader_is_told(tmp_path: Path) -> None:
    pin = pinned("x86_64")
    assert pin is not None
    with pytest.raises(SandboxUnavailable, match="cannot be started"):
        probe(unpacked(pin, tmp_path))


def test_a_working_host(program: Program) -> None:
    assert _probed(program) == "works\n"


def _nested() -> None:
    if subprocess.run(["unshare", "-Ur", "true"], capture_output=True, check=False).returncode != 0:
        pytest.skip("no user namespace to try this in")


def test_user_namespaces_limited_to_none(program: Program) -> None:
    _nested()
    script = 'echo 0 > /proc/sys/user/max_user_namespaces && exec "$@"'
    said = _probed(program, "unshare", "-Ur", "sh", "-c", script, "sh")
    assert "the limit on user namespaces is reached, or is 0" in said
    assert "sysctl user.max_user_namespaces" in said


def test_a_system_call_filter(program: Program) -> None:
    said = _probed(program, prelude=FILTER)
    assert "a system call filter forbids new namespaces" in said
    assert "--security-opt seccomp=unconfined" in said


def test_a_masked_proc(program: Program) -> None:
    _nested()
    said = _probed(program, "unshare", "-Urm", "sh", "-c", 'mount -t tmpfs none /proc/bus && exec "$@"', "sh")
    assert "parts of /proc are masked or read-only" in said
    assert "systempaths=unconfined" in said


@pytest.mark.parametrize(
    ("said", "message", "hint"),
    [
        (
            "bwrap: setting up uid map: Permission denied",
            "AppArmor",
            "apparmor_restrict_unprivileged_userns=0",
        ),
        ("bwrap: loopback: Failed RTM_NEWADDR: Operation not permitted", "AppArmor", "docker"),
        (
            "bwrap: Creating new namespace failed, likely because the kernel does not support user namespaces.  "
            "bwrap must be installed setuid on such systems.",
            "no user namespaces",
            "CONFIG_USER_NS",
        ),
        ("bwrap: Unknown option --disable-userns", "does not know an option", "0.8 or later"),
        ("bwrap: something new", "something new", "docker"),
        ("", "said nothing", "docker"),
    ],
)
def test_messages_of_bubblewrap_are_understood(said: str, message: str, hint: str) -> None:
    error = explain(said)
    assert message in error.message
    assert hint in error.hint
