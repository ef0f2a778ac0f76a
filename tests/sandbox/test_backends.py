"""What a build sees is the same, whichever sandbox made it: compared entry by entry between the two."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from layerlock.sandbox.spec import Mount

from .conftest import Backend, Specs, python

pytestmark = pytest.mark.sandbox

# Everything but /proc, whose entries differ with the kernel's mood: type, mode, owner, link target, and contents of
# the small files below /etc. Supplementary groups are left out: they are those of the user who runs the driver, and
# differ already with that.
LISTING = """
import json, os, stat
found = {}
def look(path):
    status = os.lstat(path)
    entry = [stat.filemode(status.st_mode), status.st_uid, status.st_gid]
    if stat.S_ISLNK(status.st_mode):
        entry.append(os.readlink(path))
    elif stat.S_ISCHR(status.st_mode):
        entry.append(status.st_rdev)
    elif stat.S_ISREG(status.st_mode):
        entry.append(status.st_size)
        if path.startswith("/etc/"):
            entry.append(open(path).read())
    elif path not in ("/proc", "/build") and not path.startswith("/usr/lib"):
        for name in sorted(os.listdir(path)):
            look(os.path.join(path, name))
    found[path] = entry
look("/")
found["/proc"] = sorted(name for name in os.listdir("/proc") if not name.isdecimal())
found["/proc/self/fd"] = os.listdir("/proc/self/fd")
found["/proc/self"] = sorted(os.listdir("/proc/self"))
found["kernel"] = sorted(os.listdir("/proc/sys/kernel"))
status = dict(line.split(":", 1) for line in open("/proc/self/status") if ":" in line)
wanted = "Uid Gid CapInh CapPrm CapEff CapBnd CapAmb NoNewPrivs NSpid SigIgn SigBlk Umask"
found |= {name: status[name].strip() for name in wanted.split()}
found["cgroup"] = [line.split(":", 2)[2] for line in open("/proc/self/cgroup")][:1]
found["limits"] = open("/proc/self/limits").read()
found["mounts"] = sorted((line.split()[1], line.split()[3].split(",")[0]) for line in open("/proc/self/mounts"))
found["environment"] = sorted(os.environ.items())
found["oom"] = open("/proc/self/oom_score_adj").read()
found["personality"] = open("/proc/self/personality").read()
found["session"] = [os.getpid(), os.getppid(), os.getsid(0), os.getpgrp()]
print(json.dumps(found))
"""


@pytest.mark.parametrize("uid", [1000, 65534])
@pytest.mark.parametrize("other", ["docker", "streaming"])
def test_the_view_is_the_same(
    request: pytest.FixtureRequest, bwrap: Backend, spec: Specs, tmp_path: Path, other: str, uid: int
) -> None:
    given = tmp_path / "given"
    (given / "deep").mkdir(parents=True)
    (given / "deep" / "file").write_text("x")
    for folder, mode in ((given / "deep", 0o755), (given, 0o755)):
        folder.chmod(mode)
    mounts = (Mount(source=given, target="/deps/given"), Mount(source=given, target="/usr/share/new/given"))
    made = spec(*python(LISTING), mounts=mounts, uid=uid)
    backend: Backend = request.getfixturevalue(other)
    ours, theirs = (json.loads(each(made).log) for each in (bwrap, backend))
    assert ours.keys() == theirs.keys()
    assert {key: (ours[key], theirs[key]) for key in ours if ours[key] != theirs[key]} == {}
    assert "/deps/given/deep/file" in ours
