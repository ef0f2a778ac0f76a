"""A sandbox as arguments for bubblewrap; a pure function of the spec and of the plan of its root."""

from __future__ import annotations

from collections.abc import Mapping

from layerlock.sandbox.identity import identity
from layerlock.sandbox.skeleton import Skeleton, skeleton
from layerlock.sandbox.spec import SandboxSpec

# Every namespace by name: `--unshare-all` would go on without those that cannot be had.
ISOLATION = (
    "--unshare-user",
    "--unshare-pid",
    "--unshare-net",
    "--unshare-ipc",
    "--unshare-uts",
    "--unshare-cgroup",
    "--disable-userns",
    "--die-with-parent",
    "--cap-drop",
    "ALL",
    "--clearenv",
)
# What `--dev` would make, without terminals and /dev/shm: for roots that have no shared memory.
_NODES = ("full", "null", "random", "tty", "urandom", "zero")
_DEV_LINKS = (
    ("fd", "/proc/self/fd"),
    ("stderr", "/proc/self/fd/2"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
)


def options(spec: SandboxSpec, plan: Skeleton, descriptors: Mapping[str, int]) -> list[str]:
    """Give bubblewrap's options for a spec.

    `descriptors` names the open file that holds each of the identity files' contents.
    """
    return [
        *ISOLATION,
        *([] if spec.interactive else ["--new-session"]),
        *("--uid", str(spec.uid), "--gid", str(spec.gid), "--hostname", "localhost"),
        *_variables(spec.variables),
        *_root(plan),
        *_identity(spec, plan, descriptors),
        *_system(spec),
        *_mounts(spec, plan),
        *("--remount-ro", "/", "--chdir", spec.cwd),
    ]


def plan_of(spec: SandboxSpec) -> Skeleton:
    """Plan the root of a spec; reads the root's folders.

    Raises:
        ValueError: a mount target is malformed, nests in another, or lies below a file of the root.
    """
    targets = [(mount.target, mount.source.is_dir()) for mount in spec.all_mounts()]
    return skeleton(spec.root, targets, [path for path, _ in identity(spec.uid, spec.gid)])


def _variables(variables: Mapping[str, str]) -> list[str]:
    return [word for name in sorted(variables) for word in ("--setenv", name, variables[name])]


def _root(plan: Skeleton) -> list[str]:
    words: list[str] = []
    for step in plan.steps:
        if step.kind == "folder":
            words += ["--dir", step.path]
        elif step.kind == "link":
            words += ["--symlink", step.source, step.path]
        else:
            words += ["--ro-bind", step.source, step.path]
    return words


def _identity(spec: SandboxSpec, plan: Skeleton, descriptors: Mapping[str, int]) -> list[str]:
    words: list[str] = []
    for path, _ in identity(spec.uid, spec.gid):
        words += ["--perms", "0444", "--file", str(descriptors[path]), plan.targets[path]]
    return words


def _system(spec: SandboxSpec) -> list[str]:
    # /proc is made read-only as a whole: under a driver run by root the user inside is root to the kernel's
    # own files, and bubblewrap leaves /proc/sys writable then.
    words = ["--proc", "/proc", "--remount-ro", "/proc"]
    if spec.shared_memory:
        words += [
            "--dev",
            "/dev",
            "--perms",
            "1777",
            "--size",
            str(spec.limits.memory),
            "--tmpfs",
            "/dev/shm",  # noqa: S108 - inside
        ]
    else:
        words += ["--perms", "0755", "--tmpfs", "/dev"]
        for name in _NODES:
            words += ["--dev-bind", f"/dev/{name}", f"/dev/{name}"]
        for name, target in _DEV_LINKS:
            words += ["--symlink", target, f"/dev/{name}"]
    return [*words, "--remount-ro", "/dev"]


def _mounts(spec: SandboxSpec, plan: Skeleton) -> list[str]:
    words: list[str] = []
    for mount in spec.all_mounts():
        target = plan.targets[mount.target]
        words += ["--bind" if mount.writable else "--ro-bind", str(mount.source), target]
    return words
