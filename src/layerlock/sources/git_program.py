"""Running `git` with a sealed configuration: nobody's settings, hooks, filters or prompts take part.

Every command is one argument list made here; what it may reach is decided by `protocol.allow`, and a command that
goes silent or takes too long is ended with all of its children.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from layerlock.errors import FetchError

PASSED_ON: Final = (
    "PATH",
    "SSH_AUTH_SOCK",
    "http_proxy",
    "https_proxy",
    "HTTPS_PROXY",
    "all_proxy",
    "ALL_PROXY",
    "no_proxy",
    "NO_PROXY",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "GIT_SSL_CAINFO",
    "GIT_SSL_CAPATH",
)
"""What git may know of the host's environment: how to reach a server and whom to trust, nothing that shapes a tree."""

_SEALED: Final = {
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_ATTR_NOSYSTEM": "1",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_ASKPASS": "true",
    "SSH_ASKPASS": "true",
    "GIT_SSH_COMMAND": "ssh -oBatchMode=yes -oClearAllForwardings=yes",
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_NO_REPLACE_OBJECTS": "1",
    "GIT_PROTOCOL_FROM_USER": "0",
    "GIT_OPTIONAL_LOCKS": "0",
    "HOME": "/nonexistent",
    "XDG_CONFIG_HOME": "/nonexistent",
    "LC_ALL": "C",
    "TZ": "UTC",
}

_CONFIGURED: Final = (
    "protocol.allow=never",
    "protocol.https.allow=always",
    "protocol.ssh.allow=always",
    "protocol.git.allow=always",
    f"core.hooksPath={os.devnull}",
    f"core.attributesFile={os.devnull}",
    f"core.excludesFile={os.devnull}",
    "core.autocrlf=false",
    "core.eol=lf",
    "core.symlinks=true",
    "core.fileMode=true",
    "core.fsmonitor=false",
    "core.sparseCheckout=false",
    "core.commitGraph=false",
    "credential.helper=",
    "http.followRedirects=initial",
    "http.lowSpeedLimit=1024",
    "http.lowSpeedTime=60",
    "fetch.recurseSubmodules=false",
    "submodule.recurse=false",
    "gc.auto=0",
    "maintenance.auto=false",
    "advice.detachedHead=false",
    "init.defaultBranch=none",
)


@dataclass(frozen=True, kw_only=True, slots=True)
class GitProgram:
    """The git of this host.

    Args:
        variables: the environment, of which `PASSED_ON` is taken.
        program: what to start.
        seconds: the longest that one command may take.
        stall: the longest that it may stay silent while it talks to a server.
        local: whether `file:` addresses are allowed. For tests: a recipe must not read this host's folders.
    """

    variables: Mapping[str, str] = field(default_factory=dict)
    program: str = "git"
    seconds: float = 3600
    stall: float = 180
    local: bool = False

    def argv(self, *arguments: str, git_dir: Path | None = None, work_tree: Path | None = None) -> list[str]:
        """Give the whole command line."""
        settings = (*_CONFIGURED, "protocol.file.allow=always") if self.local else _CONFIGURED
        places = [f"--git-dir={git_dir}"] if git_dir else []
        places += [f"--work-tree={work_tree}"] if work_tree else []
        configured = [part for setting in settings for part in ("-c", setting)]
        return [self.program, "--no-pager", "--literal-pathspecs", *configured, *places, *arguments]

    def environment(self) -> dict[str, str]:
        """Give the whole environment of a command."""
        return {name: self.variables[name] for name in PASSED_ON if name in self.variables} | _SEALED

    def run(
        self,
        *arguments: str,
        git_dir: Path | None = None,
        work_tree: Path | None = None,
        remote: bool = False,
        accept: tuple[int, ...] = (0,),
    ) -> GitResult:
        """Run a command to its end.

        Args:
            arguments: the command and what follows it.
            git_dir: the repository.
            work_tree: the folder of its files.
            remote: whether it talks to a server, so that the limit on silence counts.
            accept: exit statuses that are no error.

        Raises:
            FetchError: git is missing, failed, stalled or took too long. The message is git's own.
        """
        argv = self.argv(*arguments, git_dir=git_dir, work_tree=work_tree)
        try:
            process = subprocess.Popen(
                argv,
                env=self.environment(),
                # Somewhere that is no repository: only `git_dir` and `work_tree` say where git works.
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
            )
        except FileNotFoundError:
            raise FetchError(
                f"`{self.program}` is not installed, and a source is a git repository",
                hint="install git (Debian, Ubuntu: apt-get install git)",
            ) from None
        try:
            output, said = self._listen(process, remote=remote)
        finally:
            _end(process)
        shown = _last_words(said)
        if process.returncode not in accept:
            raise FetchError(shown or f"git {arguments[0]} ended with status {process.returncode}")
        return GitResult(status=process.returncode, output=output, said=shown)

    def _listen(self, process: subprocess.Popen[bytes], *, remote: bool) -> tuple[bytes, bytes]:
        assert process.stdout is not None  # noqa: S101 -- both are pipes
        assert process.stderr is not None  # noqa: S101
        started = last = time.monotonic()
        output, said = bytearray(), bytearray()
        with selectors.DefaultSelector() as selector:
            selector.register(process.stdout, selectors.EVENT_READ, output)
            selector.register(process.stderr, selectors.EVENT_READ, said)
            while selector.get_map():
                now = time.monotonic()
                if now - started > self.seconds:
                    raise FetchError(f"git took longer than {self.seconds:.0f} s")
                if remote and now - last > self.stall:
                    raise FetchError(f"the server has been silent for {self.stall:.0f} s")
                for key, _ in selector.select(timeout=0.5):
                    piece = os.read(key.fd, 1 << 16)
                    if not piece:
                        selector.unregister(key.fileobj)
                        continue
                    last = time.monotonic()
                    key.data.extend(piece)
                    # Progress is read to see that the server lives; only its end is of interest.
                    if key.data is said and len(said) > 1 << 20:
                        del said[: -(1 << 16)]
        try:
            process.wait(timeout=max(1.0, self.seconds - (time.monotonic() - started)))
        except subprocess.TimeoutExpired:
            raise FetchError(f"git took longer than {self.seconds:.0f} s") from None
        return bytes(output), bytes(said)


@dataclass(frozen=True, kw_only=True, slots=True)
class GitResult:
    """What a command left: its status, its output, and the last line that it said for people."""

    status: int
    output: bytes
    said: str


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a command and what it started; a command that is through is only tidied up."""
    if process.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    for pipe in (process.stdout, process.stderr):
        if pipe is not None:
            pipe.close()


def _last_words(said: bytes) -> str:
    """Give the line that says what was wrong, of all that git said."""
    lines = [line.strip() for line in said.decode(errors="replace").replace("\r", "\n").splitlines()]
    telling = [line for line in lines if line.startswith(("fatal:", "error:", "remote:", "ssh:"))]
    shown = (telling or [line for line in lines if line] or [""])[0 if telling else -1]
    return "".join(c for c in shown.partition(": ")[2] or shown if c.isprintable())[:400]
