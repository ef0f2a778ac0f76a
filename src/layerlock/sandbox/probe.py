"""Trying whether a sandbox works here, and saying why not and what to do about it."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from layerlock.errors import BuildFailed, LayerlockError, SandboxUnavailable
from layerlock.sandbox.bwrap import ISOLATION
from layerlock.sandbox.launch import executable
from layerlock.sandbox.program import Program

_DOCKER = "or use the docker sandbox"
_CONTAINER = (
    "inside a container, allow user namespaces to it (docker: --security-opt seccomp=unconfined "
    f"--security-opt apparmor=unconfined --security-opt systempaths=unconfined), {_DOCKER} from outside"
)
_TRIED = 20.0
_SETTINGS = Path("/proc/sys")
_APPARMOR = (
    "sudo sysctl kernel.apparmor_restrict_unprivileged_userns=0 (/etc/sysctl.d keeps it over restarts), "
    f"or an AppArmor profile for the program that grants `userns`, {_DOCKER}"
)
_MORE = f"sudo sysctl user.max_user_namespaces=15000, {_DOCKER}"
_UNPRIVILEGED = f"sudo sysctl kernel.unprivileged_userns_clone=1, {_DOCKER}"
_NO_NAMESPACES = f"use a kernel with CONFIG_USER_NS, CONFIG_NET_NS and CONFIG_SECCOMP_FILTER, {_DOCKER}"

# (what bubblewrap says, what it means, what to do), the first match counts.
_REASONS = (
    (
        r"setting up uid map: Permission denied|loopback: Failed RTM_NEWADDR",
        "AppArmor keeps user namespaces from ordinary programs (Ubuntu 23.10 and later do)",
        _APPARMOR,
    ),
    (
        r"ENOSPC|No space left on device",
        "the limit on user namespaces is reached, or is 0",
        _MORE,
    ),
    (
        r"max_user_namespaces: |Can't mount proc|cannot open /proc/sys/user",
        "parts of /proc are masked or read-only, as container engines do it",
        _CONTAINER,
    ),
    (
        r"kernel does not support user namespaces|Invalid argument",
        "the kernel has no user namespaces (CONFIG_USER_NS), or lacks another kind",
        _NO_NAMESPACES,
    ),
    (
        r"Unknown option",
        "the program does not know an option that is needed",
        "install bubblewrap 0.8 or later",
    ),
)
_NOT_PERMITTED = r"Operation not permitted|No permissions to creat"


def probe(program: Program) -> None:
    """Run a trivial command in a sandbox with every isolation that builds get.

    The host's whole root is shown for this, read-only: the command is bubblewrap itself, asked for its
    version.

    Raises:
        SandboxUnavailable: it did not work; says why and what to do.
    """
    arguments = ["--ro-bind", "/", "/", "--proc", "/proc", "--remount-ro", "/proc", "--dev", "/dev"]
    options = [
        *ISOLATION,
        "--new-session",
        "--hostname",
        "localhost",
        "--uid",
        "1000",
        "--gid",
        "1000",
        *arguments,
    ]
    command = [*program.command, *options, "--", *program.command, "--version"]
    try:
        with executable(program) as file:
            done = subprocess.run(
                command,
                executable=file,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                env={},
                cwd="/",
                timeout=_TRIED,
                check=False,
            )
    except OSError as error:
        raise SandboxUnavailable(
            f"bubblewrap cannot be started: {error}",
            hint=f"check that {program.command[0]} lies on no file system mounted noexec, {_DOCKER}",
        ) from error
    except subprocess.TimeoutExpired as error:
        raise SandboxUnavailable(f"bubblewrap did not answer within {_TRIED:.0f} s", hint=_DOCKER) from error
    if done.returncode != 0:
        raise explain(done.stderr.decode(errors="replace"))


def restrictions(*, root: bool, settings: Path = _SETTINGS) -> tuple[tuple[str, str], ...]:
    """Give what the kernel's settings have against user namespaces, each with its remedy; trying them is `probe`'s.

    Two of the settings do not hold for `root`. `settings` is the folder of the kernel's settings.
    """
    found: list[tuple[str, str]] = []
    most = _read(settings / "user" / "max_user_namespaces").strip()
    if not most:
        found.append(
            ("the kernel has no user namespaces (user.max_user_namespaces is missing)", _NO_NAMESPACES)
        )
    elif most == "0":
        found.append(("user.max_user_namespaces is 0", _MORE))
    for name, forbids, remedy in (
        ("unprivileged_userns_clone", "0", _UNPRIVILEGED),
        ("apparmor_restrict_unprivileged_userns", "1", _APPARMOR),
    ):
        if not root and _read(settings / "kernel" / name).strip() == forbids:
            found.append((f"kernel.{name} is {forbids}", remedy))
    return tuple(found)


def refusal(said: str) -> LayerlockError:
    """Turn the last line of a sandbox that was not set up into an error: the spec's fault, or the host's."""
    blamed = re.match(r"bwrap: (execvp|Can't chdir to|Can't find source path) (.*)", said)
    if blamed:
        what = {"execvp": "the command", "Can't chdir to": "the working folder"}.get(
            blamed[1], "a mount's source"
        )
        return BuildFailed(f"{what} cannot be used: {blamed[2]}")
    return explain(said)


def explain(said: str) -> SandboxUnavailable:
    """Turn what bubblewrap printed when it could not set up a sandbox into an error with a remedy."""
    last = said.strip().splitlines()[-1] if said.strip() else "bubblewrap said nothing"
    for pattern, meaning, hint in _REASONS:
        if re.search(pattern, last):
            return SandboxUnavailable(f"{meaning} ({last})", hint=hint)
    if re.search(_NOT_PERMITTED, last):
        return _not_permitted(last)
    return SandboxUnavailable(f"bubblewrap cannot make a sandbox ({last})", hint=_DOCKER)


def _not_permitted(last: str) -> SandboxUnavailable:
    """Tell a kernel setting from a container's system call filter: both say EPERM."""
    if _setting("kernel/unprivileged_userns_clone") == "0":
        return SandboxUnavailable(
            f"the kernel keeps user namespaces from ordinary users ({last})",
            hint=_UNPRIVILEGED,
        )
    if re.search(r"^Seccomp:\s*2", _read(Path("/proc/self/status")), re.MULTILINE):
        return SandboxUnavailable(
            f"a system call filter forbids new namespaces, as container engines set it ({last})",
            hint=_CONTAINER,
        )
    return SandboxUnavailable(f"new namespaces are not permitted here ({last})", hint=_CONTAINER)


def _setting(name: str) -> str:
    return _read(_SETTINGS / name).strip()


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
