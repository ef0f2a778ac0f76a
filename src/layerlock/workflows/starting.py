"""Starting a recipe from the index: what is pinned, what builds it, and a layer that holds it, ready to be built."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from packaging.requirements import InvalidRequirement, Requirement

from layerlock.audit.declared import declared
from layerlock.errors import Offline
from layerlock.io.atomic import write_bytes
from layerlock.io.edits import edited
from layerlock.io.repository import Repository
from layerlock.sources.candidates import Candidate, Kind, candidate, read_requirement
from layerlock.sources.distributions import Distribution, fetch_candidate, read_source, read_wheel
from layerlock.sources.target import Target
from layerlock.workflows import recipe_texts as texts
from layerlock.workflows.choosing import (
    Chosen,
    Wanted,
    build_environment,
    choose,
    compiling_python,
    package_name,
    paths_of,
    refuse_what_is_there,
    tools_name,
)
from layerlock.workflows.driver import Driver
from layerlock.workflows.locking import lock_layer
from layerlock.workflows.resolving import pin_package
from layerlock.workflows.updating import all_or_nothing

if TYPE_CHECKING:
    from layerlock.sources.fetch import Reach


@dataclass(frozen=True, kw_only=True, slots=True)
class Started:
    """What was written. `licence` is an SPDX expression; not `certain`, it only names the project.

    `needs` are requirements that a source states and that are not looked for: packages of their own.
    """

    package: str
    version: str
    file: str
    kind: Kind
    licence: str
    certain: bool
    layer: str
    files: tuple[str, ...]
    needs: tuple[str, ...]


def start(driver: Driver, wanted: Wanted, reach: Callable[[], Reach]) -> Started:
    """Write the recipes of a package and of a layer that holds it, or put it into a layer that is there; and lock it.

    Where anything fails, nothing is left behind.

    Raises:
        UsageError: something of that name is there, or it is not said what to build for.
        Unresolvable: the index has no file that fits.
        LayerlockError: an index does not answer, or the layer cannot be locked.
    """
    requirement = read_requirement(wanted.requirement)
    repository = driver.repository
    package = package_name(repository, requirement, wanted.package)
    layer = wanted.layer or package
    paths = paths_of(repository, package, layer)
    refuse_what_is_there(repository, paths, package, layer, named=bool(wanted.layer))
    chosen = choose(repository, wanted, package, layer)
    reached = reach()
    if reached.offline:
        raise Offline(f"`{requirement}` has to be looked for in an index", hint="run once without --offline")
    found = candidate(reached.origins, requirement, chosen.target, chosen.only)
    file = fetch_candidate(found, driver.store, reached, driver.emit)
    with all_or_nothing(paths):
        if found.kind == "wheel":
            about = read_wheel(file)
            licence, called = _write_wheel(driver, chosen, found, about, requirement)
        else:
            with driver.store.scratch(package) as scratch:
                (unpacked := scratch / "source").mkdir()
                about = read_source(file, unpacked)
            licence, called = _write_source(driver, chosen, found, about, wanted)
        _write_layer(repository, chosen, found, about)
        fresh = replace(driver, repository=repository.fresh())
        lock_layer(fresh, layer)
        written = [path for path in paths if path.is_file()]
    return Started(
        package=package,
        version=str(found.version),
        file=found.url,
        kind=found.kind,
        licence=licence,
        certain=not called,
        layer=layer,
        files=tuple(str(path.relative_to(repository.root)) for path in written),
        needs=tuple(_needs(about, chosen.target)) if found.kind == "source" else (),
    )


def _write_wheel(
    driver: Driver, chosen: Chosen, found: Candidate, about: Distribution, requirement: Requirement
) -> tuple[str, str]:
    """Write the recipe of a wheel: alone, or with the wheels that it needs."""
    place = chosen.place(chosen.assembly, chosen.target.glibc)
    extras = f"[{','.join(sorted(requirement.extras))}]" if requirement.extras else ""
    licence, called = _licence(found.project, about)
    head = _head(chosen.package, found, about, licence, called)
    if not extras and not [*_needs(about, chosen.target)]:
        text = texts.package_of_wheel(chosen.comment, head, place, found.url, found.sha256)
        _write(driver.repository, chosen.package, text)
        return licence, called
    wants = (f"{found.project}{extras}=={found.version}",)
    return _write_wheels(
        driver, chosen.package, lambda h: texts.package_of_wheels(chosen.comment, h, place, wants), head
    )


def _write_source(
    driver: Driver, chosen: Chosen, found: Candidate, about: Distribution, wanted: Wanted
) -> tuple[str, str]:
    """Write the recipe of a source, and that of what builds it."""
    repository = driver.repository
    environment, glibc = build_environment(repository, wanted.environment, chosen)
    tools = tools_name(chosen.package)
    wants = (*about.build_requires, *_frontend(about))
    place = chosen.place(environment, glibc)
    comment = f"What {chosen.package} is built with. Nothing of it ships in a layer.\n{chosen.comment}"
    head = texts.Head(
        name=tools, version=str(found.version), summary=f"What {chosen.package} is built with", licence=""
    )
    base = repository.environment(environment).environment.base or environment
    tools_place = chosen.place(base, glibc)
    _write_wheels(
        driver,
        tools,
        lambda h: texts.package_of_wheels(comment, h, tools_place, wants, tools=True),
        head,
    )
    licence, called = _licence(found.project, about)
    inputs = (compiling_python(repository, chosen.runtime), tools)
    head = _head(chosen.package, found, about, licence, called)
    text = texts.package_of_source(chosen.comment, head, place, found.url, found.sha256, inputs)
    _write(repository, chosen.package, text)
    return licence, called


def _write_wheels(
    driver: Driver, name: str, text: Callable[[texts.Head], str], head: texts.Head
) -> tuple[str, str]:
    """Write a package of wheels by ranges, find them, and write it again with the licences of all of them."""
    repository = driver.repository
    _write(repository, name, text(replace(head, licence=f"LicenseRef-{name}")))
    fresh = repository.fresh()
    pin_package(replace(driver, repository=fresh), fresh, name, frozenset())
    resolved = repository.fresh().package(name).resolved
    assert resolved is not None  # noqa: S101 - it was just written
    found = []
    for wheel in resolved.wheels:
        path = driver.store.file(wheel.sha256)
        assert path is not None  # noqa: S101 - it was just fetched
        found.append(_licence(wheel.name, read_wheel(path)))
    licence = texts.conjunction(tuple(row[0] for row in found))
    called = "; ".join(row[1] for row in found if row[1])
    _write(repository, name, text(replace(head, licence=licence, called=called)))
    return licence, called


def _write_layer(repository: Repository, chosen: Chosen, found: Candidate, about: Distribution) -> None:
    modules = about.modules or (found.project.replace("-", "_"),)
    smoke = repository.root / "recipes" / "smoke" / f"{chosen.package}.py"
    write_bytes(smoke, texts.smoke_test(found.project, modules).encode())
    shown = f"recipes/layers/{chosen.layer}.toml"
    path = repository.root / shown
    if chosen.layer in repository.names("layers"):
        names = (*repository.layer(chosen.layer).layer.packages, chosen.package)
        text = edited(path.read_text(encoding="utf-8"), {("layer", "packages"): sorted(names)}, shown)
        write_bytes(path, f"{text.rstrip()}\n\n{texts.smoke(chosen.package)}".encode())
        return
    place = chosen.place(chosen.assembly, chosen.target.glibc)
    summary = f"{found.project} {found.version}, for {chosen.runtime.name} on {chosen.target.architecture}"
    text = texts.layer(chosen.comment, chosen.layer, chosen.package, summary, place, chosen.tools)
    path.parent.mkdir(exist_ok=True)
    write_bytes(path, text.encode())


def _write(repository: Repository, name: str, text: str) -> None:
    write_bytes(repository.root / "recipes" / "packages" / f"{name}.toml", text.encode())


def _head(package: str, found: Candidate, about: Distribution, licence: str, called: str) -> texts.Head:
    return texts.Head(
        name=package,
        version=str(found.version),
        summary=about.summary,
        homepage=about.homepage,
        licence=licence,
        called=called,
        purl=f"pkg:pypi/{found.project}@{found.version}",
    )


def _licence(project: str, about: Distribution) -> tuple[str, str]:
    """Give the SPDX expression of a distribution, and nothing; or a name of its own, and what its metadata says."""
    known = declared(about.expression, about.text, about.classifiers, about.terms)
    if known is not None:
        return known, ""
    said = [each for each in about.classifiers if each.startswith("License ::")]
    first = about.expression or about.text.strip().partition("\n")[0]
    shown = "; ".join(filter(None, (first[:80], *said))) or "nothing"
    return f"LicenseRef-{project}", f"{shown} (of {project})"


def _needs(about: Distribution, target: Target) -> Iterator[str]:
    """Give what a distribution needs on a target besides itself; what cannot be read is given as it stands."""
    environment: dict[str, str] = {key: str(value) for key, value in target.environment.items()}
    environment["extra"] = ""
    for text in about.requires:
        try:
            requirement = Requirement(text)
        except InvalidRequirement:
            yield text
            continue
        marker = requirement.marker
        if marker is None or marker.evaluate(environment):
            requirement.marker = None
            yield str(requirement)


def _frontend(about: Distribution) -> tuple[str, ...]:
    """Give what calls a build backend and installs the wheel; setuptools before 70.1 wants `wheel` beside it."""
    old = about.backend.startswith("setuptools") and not any(
        each.startswith("wheel") for each in about.build_requires
    )
    return ("build", "installer", *(("wheel",) if old else ()))
