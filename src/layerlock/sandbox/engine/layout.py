"""A sandbox as the plan of a container: pure but for looking at the root, so that it can be tested without an engine.

The container is only the outer shell: it brings the engine's kernel, the limits of its control group, and an end.
Inside of it the pinned bubblewrap lays out exactly what it lays out on a host, by the same options. A plain
`docker run` could not keep the contract: it shows `/.dockerenv`, `/sys` and an `/etc/hosts` of its own, masks parts
of `/proc`, and leaves the writable top of the root in place.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from layerlock.sandbox.bwrap import options, plan_of
from layerlock.sandbox.engine.trees import Sent
from layerlock.sandbox.identity import identity
from layerlock.sandbox.spec import Limits, SandboxSpec

# Places inside the container.
PROGRAM = Path("/layerlock/program")
ROOT = Path("/layerlock/root")
GIVEN = "/layerlock/given"
_MOUNTS = "/layerlock/mounts"
_RUN = "run"

OUTER = 3
"""The processes that are the container's own: the shell, its child that listens, and bubblewrap's outer process."""

STARTED = "started"
ENDED = "ended"

# Standard input is the tie to the driver: a line on it starts the sandbox, and its end, or another line, ends
# everything in the container. The sandbox's own output, both streams in order, is this
# shell's standard output; on standard error bubblewrap and the shell report to the driver. Engines carry the two
# side by side, so each has an end of its own: that of the output is the starting line again, which the sandbox cannot
# know. Only descriptors of one digit can be written in a portable script.
SUPERVISOR = r"""
cd /
echo started >&2
read -r go || exit 0
# The other way round, the sandbox would ignore the signals that a shell's background processes ignore. By way of
# another descriptor, since standard input is /dev/null there; the sandbox gets a file in its place.
exec 8<&0
{ read -r over; kill -KILL -1; } <&8 &
"$@" </dev/null 3>&2 2>&1 4<{run}/0 5<{run}/1 6<{run}/2 7<{run}/3 8<{run}/4 9<{run}/arguments
for file in memory/memory.oom_control memory.events pids/pids.events pids.events cpuacct/cpuacct.usage cpu.stat
do
  [ -r "/sys/fs/cgroup/$file" ] && while read -r name value
  do echo "account $file $name $value" >&2
  done < "/sys/fs/cgroup/$file"
done
# bubblewrap's outer process may be gone before all inside are: wait for these. The dead that nobody collects do not
# count.
alive=3
while [ "$alive" -gt 2 ]
do
  alive=0
  for process in /proc/[0-9]*
  do
    read -r line 2>/dev/null < "$process/stat" || continue
    case "${line##*) }" in Z*|X*) ;; *) alive=$((alive + 1)) ;; esac
  done
done
echo ended >&2
printf '\001%s' "$go"
wait
""".replace("{run}", f"{GIVEN}/{_RUN}")
# The same for a shell, whose streams are those of its own process in the container. bubblewrap dies with its parent,
# which must not be the engine's helper: that one goes away as soon as the process has started. A signal from the
# terminal is for the sandbox.
SHELL = r"""
cd /
trap : INT QUIT
"$@" 3>/dev/null 4<{run}/0 5<{run}/1 6<{run}/2 7<{run}/3 8<{run}/4 9<{run}/arguments
""".replace("{run}", f"{GIVEN}/{_RUN}")
_STATUS, _FIRST, _ARGUMENTS = 3, 4, 9


@dataclass(frozen=True, kw_only=True, slots=True)
class Way:
    """How an engine can be made to run sandboxes: as whom, with which capabilities, and whether the host's folders
    can be mounted or have to travel as tar streams.

    `user` is `UID:GID` on the engine's side. The capabilities are the container's; the sandbox has none.
    """

    user: str
    capabilities: tuple[str, ...]
    bind: bool

    @property
    def owner(self) -> tuple[int, int]:
        """The user and the group as numbers."""
        uid, _, gid = self.user.partition(":")
        return int(uid), int(gid)


@dataclass(frozen=True, kw_only=True, slots=True)
class Bind:
    """A folder or file of the host that the engine mounts."""

    source: Path
    target: str
    writable: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Returned:
    """A writable folder whose contents the engine has, and the host's folder that they belong in."""

    inside: str
    place: str
    target: Path


@dataclass(frozen=True, kw_only=True, slots=True)
class Container:
    """What an engine is asked to make.

    `sent` goes to `GIVEN` before anything starts, `returned` comes from there when everything has ended.
    """

    image: str
    command: tuple[str, ...]
    way: Way
    limits: Limits
    binds: tuple[Bind, ...]
    sent: tuple[Sent, ...]
    returned: tuple[Returned, ...]


def container(
    spec: SandboxSpec, way: Way, *, image: str, shell: tuple[str, ...], program: tuple[str, ...]
) -> Container:
    """Plan the container for a spec; `shell` and `program` are how the shell and bubblewrap are started in it.

    Raises:
        ValueError: as `plan_of`.
    """
    mounts = spec.all_mounts()
    places = {
        mount.target: f"{_MOUNTS}/{number}" if way.bind else f"{GIVEN}/{number}"
        for number, mount in enumerate(mounts)
    }
    words = [*_options(spec, places), "--json-status-fd", str(_STATUS)]
    arguments = b"".join(word.encode() + b"\0" for word in words)
    files = [Sent(place=_RUN, mode=0o755, folder=True)]
    files += [
        Sent(place=f"{_RUN}/{number}", contents=data)
        for number, (_, data) in enumerate(identity(spec.uid, spec.gid))
    ]
    files.append(Sent(place=f"{_RUN}/arguments", contents=arguments))
    numbered = list(enumerate(mounts))
    return Container(
        image=image,
        command=(*shell, "-c", SUPERVISOR, "supervisor", *_started(spec, program)),
        way=way,
        limits=spec.limits,
        binds=tuple(
            Bind(source=mount.source, target=places[mount.target], writable=mount.writable)
            for mount in mounts
        )
        if way.bind
        else (),
        sent=(
            *files,
            *(Sent(place=str(number), source=mount.source) for number, mount in numbered if not way.bind),
        ),
        returned=tuple(
            Returned(inside=mount.target, place=f"{GIVEN}/{number}", target=mount.source)
            for number, mount in numbered
            if mount.writable and not way.bind
        ),
    )


def _started(spec: SandboxSpec, program: tuple[str, ...]) -> tuple[str, ...]:
    return (*program, "--args", str(_ARGUMENTS), "--", *spec.argv)


def _options(spec: SandboxSpec, places: Mapping[str, str]) -> list[str]:
    """Give bubblewrap's options with every source as the container has it."""
    plan = plan_of(spec)
    steps = tuple(
        replace(step, source=str(ROOT / Path(step.source).relative_to(spec.root)))
        if step.kind == "bind"
        else step
        for step in plan.steps
    )
    moved = replace(
        spec,
        mounts=tuple(replace(mount, source=Path(places[mount.target])) for mount in spec.mounts),
        build=Path(places["/build"]) if spec.build else None,
        out=Path(places["/out"]) if spec.out else None,
        tmp=Path(places["/tmp"]) if spec.tmp else None,  # noqa: S108 - inside
    )
    descriptors = {path: _FIRST + number for number, (path, _) in enumerate(identity(spec.uid, spec.gid))}
    return options(moved, replace(plan, steps=steps), descriptors)


def shell_command(spec: SandboxSpec, *, shell: tuple[str, ...], program: tuple[str, ...]) -> tuple[str, ...]:
    """Give the command that opens a spec's own command in a container planned for the same spec."""
    return (*shell, "-c", SHELL, "shell", *_started(spec, program))
