"""Git repositories of tests, made with nobody's configuration, and the command run over them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path


def git(root: Path, *arguments: str) -> str:
    """Run git."""
    settings = ("user.name=A Tester", "user.email=tester@example.invalid", "commit.gpgSign=false")
    configured = [part for setting in (*settings, "protocol.file.allow=always") for part in ("-c", setting)]
    variables = {
        "PATH": os.environ["PATH"],
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_COMMITTER_DATE": "2026-01-02T03:04:05Z",
        "GIT_AUTHOR_DATE": "2026-01-02T03:04:05Z",
    }
    command = ["git", *configured, *arguments]
    done = subprocess.run(
        command, cwd=root, env=variables, capture_output=True, text=True, timeout=60, check=True
    )
    return done.stdout.strip()


def commit(root: Path, message: str) -> str:
    """Commit everything, in a repository that is made where there is none; give the commit."""
    if not (root / ".git").exists():
        git(root, "init", "--quiet", "--initial-branch=main", ".")
        (root / ".git" / "info" / "exclude").write_text("dist/\n")
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "--allow-empty", "-m", message)
    return git(root, "rev-parse", "HEAD")


def layerlock(
    folder: Path, *arguments: str, home: Path, store: Path | None = None, without_network: bool = False
) -> subprocess.CompletedProcess[str]:
    """Run the command in a folder, with a home of its own, and, if asked, in a namespace that has no network."""
    variables = {
        name: value for name, value in os.environ.items() if not name.startswith(("LAYERLOCK_", "XDG_"))
    }
    variables["HOME"] = str(home)
    if store is not None:
        variables["LAYERLOCK_STORE"] = str(store)
    command = [sys.executable, "-m", "layerlock", *arguments]
    return subprocess.run(
        ["unshare", "--net", "--", *command] if without_network else command,
        cwd=folder,
        env=variables,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
