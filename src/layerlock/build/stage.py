"""The folders that a build starts from, and the sandbox specification over them."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from layerlock.build.workshop import Workshop, jobs_of
from layerlock.errors import HashMismatch, InvalidRecipe
from layerlock.io.atomic import remove_tree
from layerlock.io.linkedtree import link_tree
from layerlock.model.derivation import Derivation, GuestRun, SourceInput
from layerlock.sandbox.spec import Limits, Mount, SandboxSpec
from layerlock.sources.place import place

GUEST = "/layerlock/guest"
TASK = "/layerlock/task.json"
PATCHES = "/layerlock/patches"
WRITABLE = ("build", "out", "tmp")


@dataclass(frozen=True, kw_only=True, slots=True)
class Stage:
    """A build that is ready to run: its specification, the host's side of its writable folders, and its jobs."""

    spec: SandboxSpec
    build: Path
    out: Path
    jobs: int


def stage(
    derivation: Derivation,
    run: GuestRun,
    workshop: Workshop,
    inputs: Mapping[str, Path],
    sources: Mapping[str, Path],
    folder: Path,
) -> Stage:
    """Lay out a build in an empty `folder` of the store's file system.

    `inputs` are the outputs of its inputs by name, `sources` the fetched files and trees by key.

    Raises:
        HashMismatch: a patch, a guest file or a file of the recipe changed since it was hashed.
        UnsafeArchive: a source's archive holds what it must not.
    """
    # Modes are set, not left to the umask of whoever runs the driver: builds see them.
    for name in WRITABLE:
        (folder / name).mkdir()
        (folder / name).chmod(0o1777 if name == "tmp" else 0o755)
    given = folder / "given"
    mounts = [
        *_inputs(derivation, inputs, given / "inputs"),
        *_sources(derivation, sources, folder / "build"),
        *_guest(run, workshop.guest, given / "guest"),
        *_patches(derivation, workshop.repository, given / "patches"),
        *_data(derivation, workshop.repository, given / "data"),
    ]
    task = given / "task.json"
    task.parent.chmod(0o755)
    task.write_text(json.dumps(run.task, default=dict), encoding="utf-8")
    task.chmod(0o644)
    mounts.append(Mount(source=task, target=TASK))
    jobs = jobs_of(derivation.needs, workshop.jobs, workshop.memory)
    spec = SandboxSpec(
        root=inputs[run.root],
        mounts=tuple(mounts),
        argv=(*run.command, f"{GUEST}/{run.entry}"),
        variables={**run.variables, "LAYERLOCK_JOBS": str(jobs)},
        cwd="/build",
        limits=Limits(
            memory=derivation.needs.memory,
            processes=derivation.needs.processes,
            seconds=float(derivation.needs.seconds),
            log_bytes=derivation.needs.log_bytes,
            output_bytes=derivation.needs.output_bytes,
        ),
        build=folder / "build",
        out=folder / "out",
        tmp=folder / "tmp",
        uid=run.uid,
        shared_memory=run.shared_memory,
    )
    return Stage(spec=spec, build=folder / "build", out=folder / "out", jobs=jobs)


def _inputs(derivation: Derivation, inputs: Mapping[str, Path], folder: Path) -> list[Mount]:
    mounts = []
    for item in derivation.inputs:
        if item.mount is None:
            continue
        source = inputs[item.name] / item.part
        if item.without:
            folder.mkdir(parents=True, exist_ok=True)
            link_tree(source, folder / item.name, frozenset(item.without))
            source = folder / item.name
        mounts.append(Mount(source=source, target=item.mount))
    return mounts


def _sources(derivation: Derivation, sources: Mapping[str, Path], build: Path) -> list[Mount]:
    mounts = []
    for source in derivation.sources:
        if source.unpack:
            _unpack(source, sources[source.key], build)
        else:
            mounts.append(Mount(source=sources[source.key], target=source.place))
    return mounts


def _unpack(source: SourceInput, path: Path, build: Path) -> None:
    tree = build / PurePosixPath(source.place).relative_to("/build")
    if not source.folder:
        place(source, path, tree)
        return
    whole = build.parent / "whole"
    place(source, path, whole)
    part = whole / source.folder
    if not part.resolve().is_relative_to(whole.resolve()) or not part.is_dir():
        raise InvalidRecipe(f"the source `{source.key}` has no folder `{source.folder}`")
    part.rename(tree)
    remove_tree(whole)


def _guest(run: GuestRun, code: Path, folder: Path) -> list[Mount]:
    folder.mkdir(parents=True)
    folder.chmod(0o755)
    for file in run.guest:
        _copy(code / file.name, folder / file.name, file.sha256)
    return [Mount(source=folder, target=GUEST)]


def _patches(derivation: Derivation, repository: Path, folder: Path) -> list[Mount]:
    if not derivation.patches:
        return []
    folder.mkdir(parents=True)
    folder.chmod(0o755)
    for patch in derivation.patches:
        _copy(repository / "patches" / patch.path, folder / PurePosixPath(patch.path).name, patch.sha256)
    return [Mount(source=folder, target=PATCHES)]


def _data(derivation: Derivation, repository: Path, folder: Path) -> list[Mount]:
    mounts = []
    for index, file in enumerate(derivation.data):
        folder.mkdir(parents=True, exist_ok=True)
        copy = folder / str(index)
        _copy(repository / file.path, copy, file.sha256)
        mounts.append(Mount(source=copy, target=file.place))
    return mounts


def _copy(source: Path, target: Path, sha256: str) -> None:
    """Copy a file and check what was copied: it was hashed earlier, and may have been edited since."""
    shutil.copyfile(source, target)
    target.chmod(0o644)
    found = hashlib.sha256(target.read_bytes()).hexdigest()
    if found != sha256:
        raise HashMismatch(f"{source.name} changed while it was used: {found} in place of {sha256}")
