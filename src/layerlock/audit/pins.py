"""Whether everything is pinned, by hash, and the lock fits the recipes that it was written from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from layerlock.audit.check import Check
from layerlock.audit.subject import Subject
from layerlock.errors import LayerlockError, Location
from layerlock.io.documents import locate
from layerlock.model.findings import Finding, Severity
from layerlock.model.lock import Lock, LockedGit, LockedPath, LockedSource
from layerlock.model.recipe import Deb, GitSource, PathSource
from layerlock.plan.fit import Stated, check_plan, mismatch, stated
from layerlock.plan.functions import names_of
from layerlock.plan.images import layer_pins
from layerlock.plan.packages import source_key
from layerlock.plan.resolve import Closure


def unpinned(closure: Closure, pins: Mapping[str, LockedSource]) -> tuple[str, ...]:
    """Give the keys of checkouts and folders whose tree hash no pin states: nothing can be planned without it."""
    keys = (
        source_key(recipe, source)
        for recipe, _, source in closure.sources()
        if isinstance(source, GitSource | PathSource)
    )
    return tuple(key for key in keys if not isinstance(pins.get(key), LockedGit | LockedPath))


def sources_of(subject: Subject) -> list[Stated]:
    """Give every source that the recipes of a layer state; layers of an image that is not pinned are left out."""
    try:
        return stated(subject.closure, subject.repository)
    except LayerlockError:
        bare = replace(
            subject.closure,
            environments=tuple(e for e in subject.closure.environments if e.environment.image is None),
        )
        return stated(bare, subject.repository)


def in_lock(subject: Subject, dotted: str) -> Location:
    """Find a key in the layer's lock."""
    path = subject.repository.lock_path(subject.name)
    return locate(path, f"lockfiles/{path.name}", dotted)


def _recipes(subject: Subject) -> Iterator[Finding]:
    repository = subject.repository
    for kind, read in (
        ("packages", repository.package),
        ("environments", repository.environment),
        ("runtimes", repository.runtime),
        ("layers", repository.layer),
        ("functions", repository.function),
    ):
        for name in repository.names(kind):
            try:
                read(name)
            except LayerlockError as error:
                yield RECIPES.found(name, error.message, hint=error.hint, location=error.location)
    for recipe in subject.closure.packages:
        for index, patch in enumerate(recipe.patches):
            try:
                repository.patch(recipe, index)
            except LayerlockError as error:
                yield RECIPES.found(
                    f"patches/{patch.file}", error.message, hint=error.hint, location=error.location
                )


def _lock_fits(subject: Subject) -> Iterator[Finding]:
    lock, repository = subject.lock, subject.repository
    relock = f"if the change is meant, run: nox -s lock -- {subject.name}"
    if lock is None:
        yield LOCK_FITS.found(
            subject.name,
            f"the layer {subject.name} has no lock: what it is made from can change from build to build",
            hint=f"run: nox -s lock -- {subject.name}",
            location=Location(file=repository.recipe_file("layers", subject.name), line=1),
        )
        return
    wrong = False
    for key, source, kind, name, dotted in sources_of(subject):
        pin = (
            lock.source(key)
            if isinstance(source, GitSource | PathSource)
            else _by_key(subject, lock).get(key)
        )
        if pin is None:
            wrong = True
            place = repository.locate(kind, name, dotted)
            yield LOCK_FITS.found(key, f"the source {key} is not in the lock", hint=relock, location=place)
        elif (part := mismatch(source, pin)) is not None:
            wrong = True
            place = repository.locate(kind, name, f"{dotted}.{part}")
            message = f"`{part}` of the source {key} differs from the lock"
            yield LOCK_FITS.found(key, message, hint=relock, location=place)
        elif isinstance(pin, LockedPath) and (found := _folder(subject, pin)) != pin.tree:
            wrong = True
            place = repository.locate(kind, name, f"{dotted}.path")
            message = f"the folder {pin.path} has the tree hash {found}, the lock says {pin.tree}"
            yield LOCK_FITS.found(key, message, hint=relock, location=place)
    # Derivations of sources that do not fit differ for that reason alone.
    if subject.plan is not None and not wrong:
        try:
            check_plan(lock, subject.plan, repository)
        except LayerlockError as error:
            yield LOCK_FITS.found(subject.name, error.message, hint=error.hint, location=error.location)


def _by_key(subject: Subject, lock: Lock) -> Mapping[str, LockedSource]:
    return subject.memo.once(("pins", lock.layer), lambda: {pin.key: pin for pin in lock.sources})


def _folder(subject: Subject, pin: LockedPath) -> str | None:
    from layerlock.sources.fetch import folder_sha256  # noqa: PLC0415 - brings the network in; few layers need it

    place = subject.repository.root / pin.path
    return subject.memo.once(("folder", pin.path), lambda: folder_sha256(place))


def _pinned(subject: Subject) -> Iterator[Finding]:
    repository = subject.repository
    for recipe, index, source in subject.closure.sources():
        if isinstance(source, GitSource) and source.tree is None:
            key = source_key(recipe, source)
            in_a_lock = subject.lock is not None and subject.lock.source(key) is not None
            yield PINNED.found(
                key,
                f"the checkout {key} has no tree hash in its recipe"
                + (
                    ", only in the lock"
                    if in_a_lock
                    else ", and none in a lock: its submodules can be anything"
                ),
                hint="write `tree`, as `nix hash path` of a checkout without `.git` gives it",
                location=repository.locate("packages", recipe.name, f"sources[{index}].commit"),
                severity=Severity.NOTE if in_a_lock else Severity.ERROR,
            )
    for environment in subject.closure.environments:
        try:
            layer_pins(environment, repository)
        except LayerlockError as error:
            yield PINNED.found(environment.name, error.message, hint=error.hint, location=error.location)
        about, pinned = environment.environment, {deb.name for deb in environment.debs}
        missing = [name for name in about.packages if name not in pinned]
        if missing:
            place = repository.locate("environments", about.name, "environment.packages")
            yield PINNED.found(
                about.name,
                f"packages of the environment {about.name} are not pinned: {', '.join(missing)}",
                hint=f"run: nox -s lock -- {subject.name} --upgrade {about.name}",
                location=place,
            )
        suites = {(i.archive, i.suite) for i in subject.lock.indexes} if subject.lock is not None else None
        if pinned and about.suite and suites is not None and (about.archive, about.suite) not in suites:
            yield PINNED.found(
                about.name,
                f"no signed index vouched for the Debian packages of {about.name} when the lock was written",
                hint=f"run: nox -s lock -- {subject.name} --upgrade {about.name}",
                location=in_lock(subject, "indexes"),
                severity=Severity.WARNING,
            )


def _plain_http(subject: Subject) -> Iterator[Finding]:
    for key, source, kind, name, dotted in sources_of(subject):
        urls = (
            (source.path,)
            if isinstance(source, Deb)
            else ()
            if isinstance(source, PathSource)
            else source.urls
        )
        for url in urls:
            if not url.startswith(("http://", "git://")):
                continue
            hashed = not isinstance(source, GitSource) or source.tree is not None
            yield PLAIN_HTTP.found(
                key,
                f"{key} comes over an unencrypted connection"
                + (
                    ": its hash protects the bytes, nothing hides what is fetched"
                    if hashed
                    else ", without a hash"
                ),
                hint="give an https address" if hashed else "state `tree`, or give an https address",
                location=subject.repository.locate(kind, name, f"{dotted}.urls"),
                severity=Severity.NOTE if hashed else Severity.ERROR,
            )


def _recorded(subject: Subject) -> Iterator[Finding]:
    lock = subject.lock
    if lock is None:
        return
    missing = [
        d.name for d in lock.derivations if d.output is None and d.name != names_of(subject.recipe).smoke
    ]
    if lock.zip is None or missing:
        named = f": {', '.join(missing)}" if missing and len(missing) < len(lock.derivations) - 1 else ""
        yield RECORDED.found(
            subject.name,
            f"the lock of {subject.name} records no outputs{named}; nobody can tell whether a build is the right one",
            hint=f"run: nox -s record -- {subject.name}",
            location=in_lock(subject, "layer"),
        )


RECIPES = Check(
    name="recipes",
    area="pins",
    needs="nothing",
    severity=Severity.ERROR,
    explanation="Every recipe and lock is read and held against its schema, also those that no layer uses, and every "
    "patch against its sha256. One that cannot be read would be found on the day it is needed.",
    run=_recipes,
)
LOCK_FITS = Check(
    name="lock-fits",
    area="pins",
    needs="nothing",
    severity=Severity.ERROR,
    explanation="A layer has a lock, and the lock is of these recipes: every source, folder and derivation. All that "
    "differ are named, where a build would stop at the first.",
    run=_lock_fits,
)
PINNED = Check(
    name="pinned",
    area="pins",
    needs="nothing",
    severity=Severity.ERROR,
    explanation="Every source, patch, wheel and Debian package has a sha256, every checkout a commit and a tree hash. "
    "A commit alone says nothing of submodules and is a SHA-1. Debian packages stand in an index that is signed.",
    run=_pinned,
)
PLAIN_HTTP = Check(
    name="plain-http",
    area="pins",
    needs="nothing",
    severity=Severity.ERROR,
    explanation="An address of http or git protocol can be answered by anybody on the way. Without a hash of the bytes "
    "that is an error; with one it is a note, since what is fetched can still be seen.",
    run=_plain_http,
)
RECORDED = Check(
    name="recorded",
    area="pins",
    needs="nothing",
    severity=Severity.WARNING,
    explanation="The lock records the outputs of all derivations and the zip. Without a record a build is unconfirmed: "
    "it may differ from the one that was tried, and nobody would know.",
    run=_recorded,
)

CHECKS = (RECIPES, LOCK_FITS, PINNED, PLAIN_HTTP, RECORDED)
