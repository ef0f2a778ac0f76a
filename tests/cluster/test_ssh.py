"""Workers on machines that SSH reaches: sshd in a network of its own, and what docs/cluster.md says to run there."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.cluster.bench import ROOT, Cluster, Process
from tests.cluster.conftest import MakeCluster, Prepared, repository_for
from tests.required import without

pytestmark = [pytest.mark.sandbox, pytest.mark.long]

SSHD = Path("/usr/sbin/sshd")
CONFIG = """\
HostKey {folder}/host
AuthorizedKeysFile {folder}/me.pub
PidFile none
StrictModes no
PasswordAuthentication no
PermitRootLogin prohibit-password
Subsystem sftp internal-sftp
"""


@contextmanager
def sshd(folder: Path, cluster: Cluster, network: int) -> Iterator[None]:
    """Serve SSH in a network, to who has the key `me`."""
    for name in ("host", "me"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)], check=True)
    (folder / "config").write_text(CONFIG.format(folder=folder))
    Path("/run/sshd").mkdir(exist_ok=True)  # sshd wants it, empty, and its unit would have made it
    line = [*cluster.networks.entering(network), str(SSHD), "-D", "-e", "-f", str(folder / "config")]
    server = Process(
        subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd="/")
    )
    try:
        server.wait_for("Server listening on 0.0.0.0")
        yield
    finally:
        server.stop()


def ssh(folder: Path, cluster: Cluster, *words: str) -> str:
    """Run `ssh` or `scp` from the scheduler's machine; give what it wrote."""
    options = ("-i", str(folder / "me"), "-o", f"UserKnownHostsFile={folder}/known", "-o", "BatchMode=yes")
    line = [words[0], *options, "-o", "StrictHostKeyChecking=accept-new", *words[1:]]
    done = subprocess.run(
        [*cluster.networks.entering(0), *line], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_a_worker_that_ssh_starts_outlives_the_session(
    prepared: Prepared, make_cluster: MakeCluster, tmp_path: Path
) -> None:
    if not SSHD.exists() or shutil.which("scp") is None:
        without("sshd", "sshd is not installed (Debian: openssh-server)")
    cluster = make_cluster()
    repository = repository_for(prepared, cluster)
    cluster.start()
    network = cluster.networks.add()
    there = tmp_path / "there"
    (there / "cluster").mkdir(parents=True)
    subprocess.run(["cp", "-al", str(prepared.template), str(there / "store")], check=True)
    host = f"root@{cluster.networks.address(network)}"
    with sshd(tmp_path, cluster, network):
        shutil.copy(prepared.key, cluster.folder / "worker-cache.pem")
        files = [
            str(cluster.folder / name) for name in ("ca.pem", "valid.pem", "valid.key", "worker-cache.pem")
        ]
        ssh(tmp_path, cluster, "scp", *files, f"{host}:{there}/cluster/")
        # In the place of `.venv/bin/layerlock`, which requirements/install would take minutes to make.
        words = ["env", f"PYTHONPATH={ROOT / 'src'}", sys.executable, "-m", "layerlock"]
        words += ["--store", str(there / "store"), "worker", cluster.address, "--name=far", "--cores=2"]
        words += ["--host", cluster.networks.address(network), "--memory=8GiB", "--room=50 MB"]
        words += ["--cache", str(cluster.cache), "--key=cluster/worker-cache.pem", "--tls-ca=cluster/ca.pem"]
        words += ["--tls-cert=cluster/valid.pem", "--tls-key=cluster/valid.key"]
        # In braces: else the shell that goes into the background holds ssh's own streams, and ssh waits for it.
        command = f"cd {there} && {{ nohup {shlex.join(words)} > worker.log 2>&1 < /dev/null & echo $!; }}"
        worker = int(ssh(tmp_path, cluster, "ssh", host, command))
    try:
        # The session is over, and sshd with it.
        until = time.monotonic() + 60
        while "far joined" not in (there / "worker.log").read_text():
            assert time.monotonic() < until, (there / "worker.log").read_text()
            time.sleep(0.1)
        build = cluster.build(repository, "four")
        assert build.end() == 0, build.text
        assert prepared.outputs["four"] in build.lines[-1]
        build.wait_for("note .*four: on far")
    finally:
        os.kill(worker, signal.SIGTERM)
