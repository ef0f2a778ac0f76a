"""What every sandbox promises, whichever program makes it."""

from __future__ import annotations

import os
import socket
import stat
import threading
from pathlib import Path

import pytest

from layerlock.sandbox.spec import Mount
from tests.sandbox.conftest import Backend, Specs, python

pytestmark = pytest.mark.sandbox


def test_status_and_output_of_a_command(backend: Backend, spec: Specs) -> None:
    ran = backend(spec("sh", "-c", "echo out; echo err >&2; exit 3"))
    assert (ran.outcome.status, ran.outcome.signal, ran.outcome.succeeded) == (3, None, False)
    assert ran.log == "out\nerr\n"
    assert ran.lines == ("out", "err")
    assert backend(spec("sh", "-c", ":")).outcome.succeeded


def test_a_signal_is_told_from_a_status(backend: Backend, spec: Specs) -> None:
    outcome = backend(spec("sh", "-c", "kill -SEGV $$")).outcome
    assert (outcome.status, outcome.signal, outcome.out_of_memory) == (139, 11, False)


def test_lines_lose_control_characters_and_overwritten_parts_but_the_log_keeps_them(
    backend: Backend, spec: Specs
) -> None:
    ran = backend(spec("sh", "-c", r"printf '10%%\r99%%\n\033[31mred\033[0m\nlast'"))
    assert ran.lines == ("99%", "[31mred[0m", "last")
    assert "\033[31m" in ran.log


def test_identity_is_fixed(backend: Backend, spec: Specs) -> None:
    script = "id -u; id -g; id -un; id -gn; cat /proc/sys/kernel/hostname /etc/hostname; umask; pwd"
    assert backend(spec("sh", "-c", script)).lines == (
        *("1000", "1000", "build", "build", "localhost", "localhost", "0022", "/build"),
    )
    files = backend(spec("cat", "/etc/hosts", "/etc/resolv.conf", "/etc/passwd", "/etc/group"))
    assert files.log == (
        "127.0.0.1 localhost\n"
        "root:x:0:0:root:/:/bin/sh\nbuild:x:1000:1000:build:/build:/bin/sh\n"
        "root:x:0:\nbuild:x:1000:\nnogroup:x:65533:\n"
    )


def test_identity_can_be_another_one(backend: Backend, spec: Specs) -> None:
    ran = backend(spec("sh", "-c", "id -u; id -g; cat /etc/passwd", uid=65534, gid=65534))
    assert ran.lines[:2] == ("65534", "65534")
    assert "build:x:65534:65534:" in ran.log


def test_the_environment_is_what_the_spec_says(
    backend: Backend, spec: Specs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAYERLOCK_LEAK", "1")
    ran = backend(
        spec(*python("import os; print(sorted(os.environ.items()))"), variables={"B": "2 $x", "A": ""})
    )
    assert ran.log == "[('A', ''), ('B', '2 $x'), ('PWD', '/build')]\n"


def test_standard_input_is_empty_and_no_descriptor_leaks(backend: Backend, spec: Specs) -> None:
    leak = os.open("/etc/passwd", os.O_RDONLY)
    os.set_inheritable(leak, True)
    try:
        ran = backend(
            spec(*python("import os,sys; print(repr(sys.stdin.read()), os.listdir('/proc/self/fd'))"))
        )
    finally:
        os.close(leak)
    assert ran.log == "'' ['0', '1', '2', '3']\n"


def test_no_privileges(backend: Backend, spec: Specs) -> None:
    status = dict(line.split(":", 1) for line in backend(spec("cat", "/proc/self/status")).lines)
    for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
        assert int(status[name], 16) == 0, name
    assert status["NoNewPrivs"].strip() == "1"


def test_no_nested_namespaces_and_no_mounts(backend: Backend, spec: Specs) -> None:
    code = """
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
for flag in (0x10000000, 0x00020000, 0x20000000, 0x40000000):
    print(libc.unshare(flag), end=" ")
print(libc.mount(b"none", b"/tmp", b"tmpfs", 0, None), libc.sethostname(b"x", 1), libc.chroot(b"/tmp"))
"""
    assert backend(spec(*python(code))).log == "-1 -1 -1 -1 -1 -1 -1\n"


def test_a_session_of_its_own(backend: Backend, spec: Specs) -> None:
    ran = backend(spec(*python("import os; print(os.getsid(0) > 0, flush=True); open('/dev/tty')")))
    assert ran.lines[0] == "True"
    assert "No such device" in ran.log


def test_the_root_is_read_only_and_holds_what_it_should(backend: Backend, spec: Specs, root: Path) -> None:
    before = sorted(str(path) for path in root.rglob("*"))
    script = "ls /; for f in /x /etc/x /usr/x /dev/x /var/x /proc/sys/vm/swappiness; do touch $f && echo WROTE; done"
    ran = backend(spec("sh", "-c", script))
    entries = set(ran.log.split("touch:")[0].split())
    assert {"build", "dev", "etc", "out", "proc", "tmp", "usr", "var"} <= entries
    assert not {"sys", "boot", ".dockerenv", "srv"} & entries
    assert "WROTE" not in ran.log.replace("touch: setting times", "")
    assert sorted(str(path) for path in root.rglob("*")) == before


def test_kernel_settings_cannot_be_written_even_for_a_driver_run_by_root(
    backend: Backend, spec: Specs
) -> None:
    before = Path("/proc/sys/vm/swappiness").read_text()
    ran = backend(spec("sh", "-c", f"echo {before.strip()} > /proc/sys/vm/swappiness && echo WROTE"))
    assert "WROTE" not in ran.log
    assert not ran.outcome.succeeded


def test_files_of_the_root_show_except_those_that_identity_replaces(backend: Backend, spec: Specs) -> None:
    ran = backend(spec("cat", "/etc/environment-file", "/etc/hosts"))
    assert ran.log == "of the root\n127.0.0.1 localhost\n"


def test_host_files_are_not_visible(backend: Backend, spec: Specs, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("s")
    paths = (
        str(secret),
        "/etc/shadow",
        "/proc/1/root/etc/shadow",
        "/proc/1/cwd/../etc/shadow",
        "/boot",
        "/run",
    )
    ran = backend(spec(*python(f"import os; print(*map(os.path.exists, {paths!r}))")))
    assert ran.log == " ".join(["False"] * len(paths)) + "\n"


def test_other_processes_are_not_visible(backend: Backend, spec: Specs) -> None:
    code = "import os; print(sorted(int(n) for n in os.listdir('/proc') if n.isdecimal()))"
    assert backend(spec(*python(code))).log in ("[1, 2]\n", "[1]\n")


def test_the_program_outside_cannot_be_changed_through_proc(
    backend: Backend, spec: Specs, tmp_path: Path
) -> None:
    code = """
import os
for path in ("/proc/1/exe", "/proc/self/exe"):
    try:
        os.chmod(path, 0o4777)
        print("changed", os.readlink(path))
    except OSError:
        print("refused")
"""
    ran = backend(spec(*python(code)))
    for line in ran.lines:
        assert line == "refused" or line.startswith("changed /memfd:"), line


def test_devices(backend: Backend, spec: Specs) -> None:
    code = """
import os, stat
for name in ("null", "zero", "full", "random", "urandom", "tty"):
    assert stat.S_ISCHR(os.stat("/dev/" + name).st_mode), name
assert os.readlink("/dev/fd") == "/proc/self/fd"
assert not [n for n in os.listdir("/dev") if n.startswith(("sd", "vd", "nvme", "mem", "kmsg"))]
open("/dev/null", "w").write("x")
open("/dev/shm/x", "w").write("x")
from multiprocessing import shared_memory, Lock
Lock()
print("fine", stat.filemode(os.stat("/dev/shm").st_mode))
"""
    ran = backend(spec(*python(code)))
    assert ran.log == "fine drwxrwxrwt\n"


def test_shared_memory_can_be_left_out(backend: Backend, spec: Specs) -> None:
    code = """
import os
print(os.path.exists("/dev/shm"), os.path.exists("/dev/null"), os.access("/dev", os.W_OK))
try:
    from multiprocessing import Lock
    Lock()
except OSError as error:
    print(type(error).__name__)
"""
    assert backend(spec(*python(code), shared_memory=False)).lines[0] == "False True False"


def test_inputs_are_read_only_wherever_they_are_mounted(
    backend: Backend, spec: Specs, tmp_path: Path
) -> None:
    tree, file = tmp_path / "tree", tmp_path / "task.json"
    (tree / "lib").mkdir(parents=True)
    (tree / "lib" / "x").write_text("input\n")
    file.write_text("{}\n")
    targets = ("/deps/numpy", "/var/lang", "/opt", "/layerlock/guest", "/usr/local/deep/er")
    mounts = (
        *(Mount(source=tree, target=t) for t in targets),
        Mount(source=file, target="/layerlock/task.json"),
    )
    script = f"for t in {' '.join(targets)}; do cat $t/lib/x; echo y > $t/lib/x; touch $t/new; done; "
    script += (
        "cat /layerlock/task.json; echo z > /layerlock/task.json; ls -d /var/empty; touch /layerlock/new"
    )
    ran = backend(spec("sh", "-c", script, mounts=mounts))
    assert ran.log.count("input\n") == len(targets)
    assert ran.log.count("Read-only file system") == 2 * len(targets) + 2
    assert "{}\n" in ran.log
    assert "/var/empty\n" in ran.log
    assert (tree / "lib" / "x").read_text() == "input\n"
    assert file.read_text() == "{}\n"
    assert sorted(path.name for path in tree.iterdir()) == ["lib"]


def test_a_writable_mount(backend: Backend, spec: Specs, tmp_path: Path) -> None:
    place = tmp_path / "place"
    place.mkdir()
    mounts = (Mount(source=place, target="/srv/keep", writable=True),)
    assert backend(spec("sh", "-c", "echo kept > /srv/keep/x", mounts=mounts)).outcome.succeeded
    assert (place / "x").read_text() == "kept\n"


def test_writable_places_can_hold_programs(backend: Backend, spec: Specs, folders: dict[str, Path]) -> None:
    script = (
        "for d in /build /out /tmp; do printf '#!/bin/sh\\necho ran\\n' > $d/p; chmod +x $d/p; $d/p; done"
    )
    assert backend(spec("sh", "-c", script)).log == "ran\n" * 3
    for folder in folders.values():
        found = (folder / "p").stat()
        assert (found.st_uid, stat.S_IMODE(found.st_mode)) == (os.getuid(), 0o755)


def test_places_can_be_left_out(backend: Backend, spec: Specs) -> None:
    ran = backend(
        spec("sh", "-c", "ls -d /build /out; touch /tmp/x && echo made", build=None, out=None, cwd="/")
    )
    assert "made" in ran.lines
    assert ran.log.count("No such file") == 2


def test_no_network_but_its_own_loopback(backend: Backend, spec: Specs) -> None:
    with socket.socket() as tcp, socket.socket(type=socket.SOCK_DGRAM) as udp:
        tcp.bind(("127.0.0.1", 0))
        tcp.listen()
        udp.bind(("127.0.0.1", 0))
        udp.settimeout(0.3)
        code = f"""
import socket
def attempt(what, function):
    try:
        function()
        print(what, "worked")
    except OSError as error:
        print(what, "failed")
attempt("host tcp", lambda: socket.create_connection(("127.0.0.1", {tcp.getsockname()[1]}), 2))
attempt("far tcp", lambda: socket.create_connection(("192.0.2.1", 80), 2))
attempt("far udp", lambda: socket.socket(type=socket.SOCK_DGRAM).sendto(b"x", ("192.0.2.1", 53)))
attempt("dns", lambda: socket.getaddrinfo("example.org", 80))
attempt("localhost", lambda: socket.getaddrinfo("localhost", 80))
socket.socket(type=socket.SOCK_DGRAM).sendto(b"x", ("127.0.0.1", {udp.getsockname()[1]}))
server = socket.create_server(("127.0.0.1", 0))
client = socket.create_connection(server.getsockname(), 2)
server.accept()[0].sendall(b"inside")
print(client.recv(10), [name for _, name in socket.if_nameindex()])
"""
        ran = backend(spec(*python(code)))
        with pytest.raises(TimeoutError):
            udp.recv(10)
    assert ran.lines == (
        *("host tcp failed", "far tcp failed", "far udp failed", "dns failed", "localhost worked"),
        "b'inside' ['lo']",
    )


def test_abstract_sockets_of_the_host_are_out_of_reach(backend: Backend, spec: Specs) -> None:
    name = f"\0layerlock-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(name)
        server.listen()
        code = f"import socket; socket.socket(socket.AF_UNIX).connect({name!r})"
        ran = backend(spec(*python(code)))
    assert "ConnectionRefusedError" in ran.log


def test_resource_limits_are_the_same_everywhere(backend: Backend, spec: Specs) -> None:
    code = """
import resource as r
for n in ("CORE", "FSIZE", "MEMLOCK", "NOFILE", "STACK", "NPROC"):
    print(n, *r.getrlimit(getattr(r, "RLIMIT_" + n)))
"""
    assert backend(spec(*python(code))).lines == (
        "CORE 0 0",
        f"FSIZE {16 << 30} {16 << 30}",
        "MEMLOCK 65536 65536",
        "NOFILE 1024 4096",
        f"STACK {8 << 20} {64 << 20}",
        "NPROC 4296 4296",
    )


def test_time_runs_out(backend: Backend, spec: Specs) -> None:
    outcome = backend(spec("sh", "-c", "trap '' TERM; sleep 60", limits={"seconds": 0.5})).outcome
    assert (outcome.timed_out, outcome.status, outcome.signal) == (True, -1, None)
    assert 0.4 < outcome.seconds < 5


def test_a_full_log_ends_the_run_and_stays_within_its_size(backend: Backend, spec: Specs) -> None:
    ran = backend(spec("sh", "-c", "head -c 1000000 /dev/zero; sleep 60", limits={"log_bytes": 100_000}))
    assert ran.outcome.log_overflow
    assert not ran.outcome.succeeded
    assert len(ran.log) == 100_000


def test_a_large_output_ends_the_run(backend: Backend, spec: Specs) -> None:
    script = "head -c 3000000 /dev/zero > /out/big; sleep 60"
    outcome = backend(spec("sh", "-c", script, limits={"output_bytes": 2_000_000})).outcome
    assert outcome.output_overflow
    assert outcome.seconds < 20


def test_a_large_output_is_noticed_at_the_end(backend: Backend, spec: Specs) -> None:
    outcome = backend(
        spec("sh", "-c", "head -c 3000000 /dev/zero > /out/big", limits={"output_bytes": 2_000_000})
    )
    assert outcome.outcome.output_overflow


def test_memory_runs_out(backend: Backend, spec: Specs) -> None:
    code = "import time\nx = bytearray(60 << 20)\ntime.sleep(0.5)\ny = bytearray(300 << 20)\ntime.sleep(60)"
    outcome = backend(spec(*python(code), limits={"memory": 100 << 20})).outcome
    assert outcome.out_of_memory
    assert not outcome.timed_out
    assert outcome.killed_process is not None
    assert outcome.killed_process.startswith("python")


def test_a_command_that_fails_is_not_called_out_of_memory(backend: Backend, spec: Specs) -> None:
    outcome = backend(spec("sh", "-c", "kill -KILL $$", limits={"memory": 100 << 20})).outcome
    assert (outcome.status, outcome.signal, outcome.out_of_memory) == (137, 9, False)


def test_too_many_processes(backend: Backend, spec: Specs) -> None:
    script = "i=0; while [ $i -lt 60 ]; do sleep 30 & i=$((i+1)); done; wait"
    outcome = backend(spec("sh", "-c", script, limits={"processes": 20})).outcome
    assert outcome.process_overflow
    assert outcome.seconds < 20


def test_it_can_be_cancelled(backend: Backend, spec: Specs) -> None:
    cancel = threading.Event()
    timer = threading.Timer(0.3, cancel.set)
    timer.start()
    outcome = backend(spec("sleep", "60"), cancel=cancel).outcome
    timer.join()
    assert outcome.cancelled
    assert outcome.seconds < 10


def test_measurements(backend: Backend, spec: Specs) -> None:
    code = "import time; x = bytearray(80 << 20); time.sleep(0.4)\nt = time.process_time()\n"
    code += "while time.process_time() < t + 0.5: pass\ntime.sleep(0.3)"
    outcome = backend(spec(*python(code))).outcome
    assert outcome.succeeded
    assert 80 << 20 <= outcome.peak_memory < 160 << 20
    assert 0.4 < outcome.cpu_seconds < 2
    assert outcome.seconds > 1.1


def test_control_groups_have_no_names_inside(backend: Backend, spec: Specs) -> None:
    for _ in range(2):
        rows = [line.split(":", 2) for line in backend(spec("cat", "/proc/self/cgroup")).lines]
        assert {row[2] for row in rows} == {"/"}
