"""What builds need of a machine, each looked at by what builds themselves go through: no second implementation."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import platform
import re
import shutil
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from layerlock.errors import FetchError, LayerlockError, SandboxUnavailable
from layerlock.io.atomic import storing
from layerlock.io.http import AllFailed, Fetcher
from layerlock.io.repository import Repository
from layerlock.sandbox.limits import Strategy, control
from layerlock.sandbox.probe import restrictions
from layerlock.sandbox.program import Program
from layerlock.sandbox.spec import Limits
from layerlock.sources.git_program import GitProgram
from layerlock.sources.origins import NO_PROJECT, ArchiveRoot, Origins
from layerlock.store.local import LocalStore
from layerlock.workflows.examining import Found, ok, problem, warning

ROOM = 8_000_000_000
"""Bytes that a store should have free: the layer cv with its environments, sources and builds takes most of them."""

TRIAL = 1 << 20
"""Bytes that are written to a store to see whether it can be written to."""

_MEMORY = 2 << 30
_LIMITS = Limits(memory=1 << 30, processes=64, seconds=1, log_bytes=1, output_bytes=1)


def kernel() -> Found:
    """Look at the system and the processor."""
    system, machine = platform.system(), platform.machine()
    said = f"{system} {platform.release()} on {machine}"
    if system != "Linux":
        return problem(f"{said}: builds run on Linux", "use Linux, or a Linux virtual machine or container")
    if machine != "x86_64":
        return warning(f"{said}: the recipes' environments are for x86_64", "use an x86_64 machine")
    return ok(said)


def namespaces() -> Found:
    """Look at the kernel's settings for user namespaces; whether they can be had is tried with bubblewrap."""
    found = restrictions(root=os.geteuid() == 0)
    if found:
        return warning("; ".join(what for what, _ in found), found[0][1])
    return ok("user namespaces are not restricted")


def bubblewrap(find: Callable[[], Program]) -> Found:
    """Make a sandbox of bubblewrap; `find` brings the driver's own into the store where it is missing."""
    program = find()
    if program.origin == "host":
        return warning(
            "a sandbox works with the host's bubblewrap; the driver's own cannot be had, or does not work here",
            "see the rows `store` and `debian`: the driver's own comes from there",
        )
    return ok("a sandbox works with the driver's own bubblewrap")


def control_groups() -> Found:
    """See by what builds are held to their memory: control groups of either version, or only a watchdog."""
    reasons = []
    strategies: tuple[Strategy, ...] = ("cgroup2", "cgroup1")
    for strategy in strategies:
        try:
            held = control(strategy, _LIMITS)
        except SandboxUnavailable as error:
            reasons.append(error.message.partition("(")[2].removesuffix(")"))
            continue
        held.close()
        return ok(f"{held.name} holds builds to their memory")
    return warning(
        f"a watchdog holds builds to their memory, since the kernel's control groups are not to be had "
        f"({'; '.join(reasons)})",
        "run the driver below `systemd-run --user --scope -p Delegate=yes`",
    )


def room(store: LocalStore) -> Found:
    """See whether a store can be written to, and how much room it has."""
    with storing(f"write to {store.root}"), store.scratch("doctor") as scratch:
        place = scratch / "trial"
        with place.open("wb") as file:
            # Written and not only sought to: a sparse file fits into a full file system.
            file.write(b"\xff" * TRIAL)
            file.flush()
            os.fsync(file.fileno())
    status = os.statvfs(store.root)
    free = status.f_bavail * status.f_frsize
    said = f"{store.root}, {free / 1e9:.1f} GB free"
    if status.f_flag & os.ST_NOEXEC:
        return problem(
            f"{said}, on a file system mounted noexec: programs of builds lie there",
            "name a folder elsewhere with --store or LAYERLOCK_STORE",
        )
    if free < ROOM:
        return warning(
            f"{said}; a large layer takes some {ROOM / 1e9:.0f} GB",
            "make room (`layerlock gc`), or name another folder with --store or LAYERLOCK_STORE",
        )
    return ok(said)


def memory(free: int, repository: Repository | None) -> Found:
    """Hold the free memory (bytes) against the largest limit of a build in the repository."""
    needs = {"a build": _MEMORY, **_needs(repository)}
    largest = max(needs, key=lambda name: needs[name])
    said = f"{free / 2**30:.1f} GiB free"
    if free < needs[largest]:
        return warning(
            f"{said}; {largest} may use {needs[largest] / 2**30:.1f} GiB",
            "close other programs, or run fewer jobs (--jobs); a container's own limit counts too",
        )
    return ok(f"{said}, {needs[largest] / 2**30:.1f} GiB for {largest}")


def python() -> Found:
    """Look at the Python that runs the driver, and at what the driver needs of its packages."""
    said = f"Python {platform.python_version()} ({sys.executable})"
    wrong = _unmet()
    if wrong:
        return problem(
            f"{said}: {'; '.join(wrong)}",
            "install what requirements/driver.txt pins; ./nox keeps such an environment by itself",
        )
    return ok(said)


def index(origins: Origins) -> Found:
    """Ask pip's indexes for a page each."""
    pages = origins.listed("pip")
    if not pages:
        return warning(
            "pip is configured to use no index", "sources that recipes call `pypi:` need one, or find-links"
        )
    silent = [page for page in pages if isinstance(page, str) and page != NO_PROJECT]
    if silent:
        said = f"{len(silent)} of {len(pages)} indexes of pip fail" if len(pages) > 1 else "pip's index fails"
        return problem(
            f"{said}: {'; '.join(dict.fromkeys(silent))}",
            "see `pip config list`, PIP_INDEX_URL, HTTPS_PROXY and REQUESTS_CA_BUNDLE",
        )
    return ok("pip's index answers" if len(pages) == 1 else f"pip's {len(pages)} indexes answer")


def debian(origins: Origins, fetcher: Fetcher, suite: str) -> Found:
    """Ask every place of Debian's archive for its index of a suite."""
    roots = origins.archive_roots("debian")
    silent = {root.shown: why for root in roots if (why := _silence(root, fetcher, suite))}
    answering = [root.shown for root in roots if root.shown not in silent]
    told = "; ".join(f"{shown}: {why}" for shown, why in silent.items())
    remedy = "see apt's sources, HTTPS_PROXY and REQUESTS_CA_BUNDLE"
    if not answering:
        return problem(
            f"no place of Debian's archive answers ({told or 'apt of this host names none'})", remedy
        )
    if silent:
        return warning(
            f"{', '.join(answering)} answers; {told}",
            f"nothing, as long as the first has what is asked for; else {remedy}",
        )
    return ok(f"{', '.join(answering)} answers")


def git(variables: Mapping[str, str]) -> Found:
    """See whether git is there: sources of that kind, and past layers, need it."""
    remedy = "install git; sources out of git, `history` and `reproduce` need it, builds else do not"
    if shutil.which("git", path=variables.get("PATH", os.defpath)) is None:
        return warning("git is not installed", remedy)
    try:
        said = GitProgram(variables=variables, seconds=10).run("version").output.decode(errors="replace")
    except FetchError as error:
        return warning(error.message, remedy)
    found = re.search(r"\d[\w.]*", said)
    return ok(f"git {found[0]}" if found else said.strip())


def credentials(variables: Mapping[str, str]) -> Found:
    """See whether there are credentials for AWS, without reading them and without asking anybody."""
    if importlib.util.find_spec("boto3") is None:
        return ok("boto3 is not installed; only publishing to AWS needs it")
    for name in (
        "AWS_ACCESS_KEY_ID",
        "AWS_PROFILE",
        "AWS_WEB_IDENTITY_TOKEN_FILE",
        "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
        "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    ):
        if variables.get(name):
            return ok(f"{name} is set")
    home = Path(variables.get("HOME", "/nonexistent"))
    for name, usual in (("AWS_SHARED_CREDENTIALS_FILE", "credentials"), ("AWS_CONFIG_FILE", "config")):
        if Path(variables.get(name) or home / ".aws" / usual).is_file():
            return ok(f"there is a file of AWS {usual}")
    return warning(
        "no AWS credentials in the variables or files of this user",
        "aws configure, or `aws sso login` with AWS_PROFILE; only publishing needs them. On a machine of AWS its role "
        "may do: that is not asked for here",
    )


def _needs(repository: Repository | None) -> dict[str, int]:
    """Give what builds of a repository may use of memory; recipes that cannot be read are left out."""
    found: dict[str, int] = {}
    if repository is None:
        return found
    for name in repository.names("packages"):
        try:
            found[f"the build of {name}"] = repository.package(name).build.limits.memory
        except LayerlockError:
            continue
    return found


def _unmet() -> list[str]:
    """Say which packages that the driver needs are missing or too old; nothing where it was never installed."""
    from packaging.requirements import Requirement  # noqa: PLC0415 - slow to load

    try:
        stated = importlib.metadata.requires("layerlock") or []
    except importlib.metadata.PackageNotFoundError:
        return []
    wrong = []
    for each in map(Requirement, stated):
        if each.marker is not None and not each.marker.evaluate({"extra": ""}):
            continue
        try:
            version = importlib.metadata.version(each.name)
        except importlib.metadata.PackageNotFoundError:
            wrong.append(f"{each.name} is missing")
            continue
        if not each.specifier.contains(version, prereleases=True):
            wrong.append(f"{each.name} is {version}, and {each.specifier} is needed")
    return wrong


def _silence(root: ArchiveRoot, fetcher: Fetcher, suite: str) -> str:
    """Say why a place of Debian's archive does not answer; nothing where it does. Its address is not told."""
    try:
        fetcher.size(f"{root.url}/dists/{suite}/InRelease")
    except AllFailed as error:
        return "; ".join(why for _, why in error.reasons)
    return ""
