"""What the repository holds and nothing uses: patches, recipes, data files, entries of locks."""

from __future__ import annotations

from collections.abc import Iterator

from layerlock.audit.check import Check
from layerlock.audit.pins import in_lock, sources_of
from layerlock.audit.subject import Subject
from layerlock.errors import LayerlockError, Location
from layerlock.io.repository import Repository
from layerlock.model.findings import Finding, Severity
from layerlock.model.layer import PythonSmoke
from layerlock.plan.resolve import closure_of_layer


def _patches(subject: Subject) -> Iterator[Finding]:
    repository = subject.repository
    try:
        named = {
            patch.file for name in repository.names("packages") for patch in repository.package(name).patches
        }
    except LayerlockError:
        return  # the check `recipes` tells which one cannot be read
    for file in _files(repository, "patches"):
        if file not in named:
            yield UNUSED_PATCH.found(
                f"patches/{file}",
                f"no recipe applies patches/{file}",
                hint="name it in a recipe, with its sha256, or remove it",
                location=Location(file=f"patches/{file}", line=1),
            )


def _recipes(subject: Subject) -> Iterator[Finding]:
    repository = subject.repository
    try:
        used = subject.memo.once("used recipes", lambda: _used(repository))
    except LayerlockError:
        return
    for kind in ("packages", "environments", "runtimes"):
        for name in repository.names(kind):
            if (kind, name) not in used:
                file = repository.recipe_file(kind, name)
                yield UNUSED_RECIPE.found(
                    name,
                    f"no layer needs {file}",
                    hint="remove it, or use it",
                    location=Location(file=file, line=1),
                )
    for folder in ("smoke", "runtimes"):
        for file in _files(repository, f"recipes/{folder}"):
            if not file.endswith(".toml") and ("data", f"{folder}/{file}") not in used:
                shown = f"recipes/{folder}/{file}"
                yield UNUSED_RECIPE.found(
                    shown, f"no layer reads {shown}", hint="remove it", location=Location(file=shown, line=1)
                )


def _used(repository: Repository) -> frozenset[tuple[str, str]]:
    """Give kind and name of everything that some layer needs, what its recipes are based on included."""
    used: set[tuple[str, str]] = set()
    for layer in repository.targets():
        recipe, closure = repository.layer(layer), closure_of_layer(repository, layer)
        runtime = repository.runtime(recipe.layer.runtime)
        used.add(("runtimes", runtime.name))
        used |= {("data", f"runtimes/{file}") for file in runtime.exports.values()}
        for test in recipe.smoke:
            used |= {
                ("data", file) for file in (test.file, *(test.data if isinstance(test, PythonSmoke) else ()))
            }
        used |= {("environments", environment.name) for environment in closure.environments}
        for package in closure.packages:
            name: str | None = package.name
            while name is not None:
                used.add(("packages", name))
                name = repository.package(name).package.base
    return frozenset(used)


def _lock_entries(subject: Subject) -> Iterator[Finding]:
    repository, lock = subject.repository, subject.lock
    for path in sorted((repository.root / "lockfiles").glob("*.lock")):
        if path.name.removesuffix(".lock") not in repository.targets():
            yield UNUSED_LOCK_ENTRY.found(
                f"lockfiles/{path.name}",
                f"there is no layer that lockfiles/{path.name} would be of",
                hint="remove it; git keeps it for `history`",
                location=Location(file=f"lockfiles/{path.name}", line=1),
            )
    if lock is None:
        return
    relock = f"run: nox -s lock -- {subject.name}"
    needed = {key for key, *_ in sources_of(subject)}
    for index, source in enumerate(lock.sources):
        if source.key not in needed:
            yield UNUSED_LOCK_ENTRY.found(
                source.key,
                f"the lock holds the source {source.key}, which the layer does not need",
                hint=relock,
                location=in_lock(subject, f"sources[{index}]"),
            )
    for index, derivation in enumerate(lock.derivations if subject.plan is not None else ()):
        if subject.plan is not None and derivation.name not in subject.plan.planned:
            yield UNUSED_LOCK_ENTRY.found(
                derivation.name,
                f"the lock holds the derivation {derivation.name}, which the layer does not need",
                hint=relock,
                location=in_lock(subject, f"derivations[{index}]"),
            )


def _files(repository: Repository, folder: str) -> list[str]:
    """List the files below a folder of the repository, by their paths from it; what Python left behind is none."""
    top = repository.root / folder
    found = (path.relative_to(top) for path in top.rglob("*") if path.is_file())
    return sorted(path.as_posix() for path in found if "__pycache__" not in path.parts)


UNUSED_PATCH = Check(
    name="unused-patch",
    area="pins",
    needs="nothing",
    severity=Severity.WARNING,
    explanation="A patch that no recipe names is either forgotten, so that a build lacks what it mends, or left over.",
    run=_patches,
)
UNUSED_RECIPE = Check(
    name="unused-recipe",
    area="pins",
    needs="nothing",
    severity=Severity.NOTE,
    explanation="A recipe, smoke test or list of exports that no layer needs is never built and never tried, and grows "
    "old unseen.",
    run=_recipes,
)
UNUSED_LOCK_ENTRY = Check(
    name="unused-lock-entry",
    area="pins",
    needs="nothing",
    severity=Severity.WARNING,
    explanation="A source or derivation in a lock that its layer does not need, or a lock without a layer: it was "
    "edited by hand, or is of other recipes.",
    run=_lock_entries,
)

CHECKS = (UNUSED_PATCH, UNUSED_RECIPE, UNUSED_LOCK_ENTRY)
