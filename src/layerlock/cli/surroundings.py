"""What the environment and the current folder say: read here, and handed down as values."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, TextIO, get_args

from layerlock.cli.settings import Caching, ClusterSettings, Kind
from layerlock.errors import UsageError

if TYPE_CHECKING:
    import argparse


def repository(named: str | None, current: Path) -> Path:
    """Give the recipe repository: the one named, else the nearest folder from `current` up with `recipes/`.

    Raises:
        UsageError: there is none.
    """
    if named is not None:
        return current / named
    for folder in (current, *current.parents):
        if (folder / "recipes").is_dir():
            return folder
    raise UsageError(
        f"neither {current} nor a folder above it holds `recipes/`",
        hint="start layerlock in a recipe repository, or name one with --repo DIR",
    )


def store(named: str | None, variables: Mapping[str, str], current: Path) -> Path:
    """Give the store: the one named, else `LAYERLOCK_STORE`, else `layerlock` in the user's cache folder.

    Raises:
        UsageError: nothing says where it is.
    """
    chosen = named or variables.get("LAYERLOCK_STORE")
    if chosen:
        return current / chosen
    cache = variables.get("XDG_CACHE_HOME", "")
    # The XDG specification: a relative path there is to be ignored.
    if cache.startswith("/"):
        return Path(cache) / "layerlock"
    home = variables.get("HOME", "")
    if home.startswith("/"):
        return Path(home) / ".cache" / "layerlock"
    raise UsageError("HOME is not set, so there is no place for the store", hint="name one with --store DIR")


def jobs(options: argparse.Namespace, variables: Mapping[str, str]) -> int:
    """Give the number of processes at once: the one named, else `LAYERLOCK_JOBS`, else 0, which means all cores.

    Raises:
        UsageError: the variable is no such number.
    """
    named: int | None = vars(options).get("jobs")
    text = variables.get("LAYERLOCK_JOBS", "")
    if named is not None or not text:
        return named or 0
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise UsageError(f"LAYERLOCK_JOBS must be a whole number of at least 1, not {text!r}")
    return int(text)


def sandbox(options: argparse.Namespace, variables: Mapping[str, str]) -> Kind:
    """Give the kind of sandbox: the one named, else `LAYERLOCK_SANDBOX`, else `auto`.

    Raises:
        UsageError: there is no such kind.
    """
    named = vars(options).get("sandbox") or variables.get("LAYERLOCK_SANDBOX") or "auto"
    for kind in get_args(Kind):
        if named == kind:
            known: Kind = kind
            return known
    raise UsageError(f"LAYERLOCK_SANDBOX must be one of {', '.join(get_args(Kind))}, not {named!r}")


def caching(options: argparse.Namespace) -> Caching:
    """Give whether binary caches are asked.

    Raises:
        UsageError: they are ruled out, and nothing but them is allowed.
    """
    none, only = vars(options).get("no_cache", False), vars(options).get("cache_only", False)
    if none and only:
        raise UsageError("--no-cache and --cache-only do not go together")
    return "none" if none else "only" if only else "use"


def cluster(
    options: argparse.Namespace, variables: Mapping[str, str], current: Path
) -> ClusterSettings | None:
    """Give the cluster that is to build, by its scheduler's address: the one named, else `LAYERLOCK_SCHEDULER`.

    Raises:
        UsageError: certificates are named in part, or what goes with a cluster alone is asked for without one.
    """
    given = vars(options)
    # Verbs that can have a cluster work have the option in any case; no other verb heeds the variable.
    address = given.get("scheduler") or variables.get("LAYERLOCK_SCHEDULER", "")
    if "scheduler" not in given or not address:
        wanted = "--detach" if given.get("detach") else "--verify" if given.get("copies") else None
        if wanted is not None:
            raise UsageError(f"{wanted} goes with --scheduler", hint="docs/cluster.md tells of clusters")
        return None
    return ClusterSettings(
        scheduler=address,
        tls=tls(options, variables, current),
        copies=given.get("copies") or 1,
        detach=bool(given.get("detach")),
        attach=given["verb"] == "attach",
    )


def tls(
    options: argparse.Namespace, variables: Mapping[str, str], current: Path
) -> tuple[Path, Path, Path] | None:
    """Give the files of mutual TLS: those named, else those of `LAYERLOCK_TLS_CA`, `_CERT` and `_KEY`.

    Raises:
        UsageError: only some of the three are named.
    """
    named = [
        vars(options).get(f"tls_{part}") or variables.get(f"LAYERLOCK_TLS_{part.upper()}", "")
        for part in ("ca", "cert", "key")
    ]
    if not any(named):
        return None
    if not all(named):
        raise UsageError("of --tls-ca, --tls-cert and --tls-key all three are needed, or none")
    ca, cert, key = (current / each for each in named)
    return ca, cert, key


def coloured(variables: Mapping[str, str], *, terminal: bool) -> bool:
    """Say whether to write in colours, by the NO_COLOR convention and the kind of terminal."""
    return terminal and not variables.get("NO_COLOR") and variables.get("TERM", "dumb") != "dumb"


def width(stream: TextIO, variables: Mapping[str, str], most: int) -> int:
    """Give the columns that COLUMNS names, else those of a terminal, at most so many; elsewhere just those."""
    named = variables.get("COLUMNS", "")
    if named.isascii() and named.isdigit() and int(named):
        return min(int(named), most)
    try:
        columns = os.get_terminal_size(stream.fileno()).columns
    except (OSError, ValueError):
        return most
    return min(columns or most, most)
