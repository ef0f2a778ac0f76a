"""Starting a recipe from the index: what is pinned, what builds it, and a layer that holds it, ready to be built."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from layerlock.audit.declared import declared
from layerlock.errors import InvalidRecipe, Offline, UsageError
from layerlock.io.atomic import write_bytes
from layerlock.io.edits import edited
from layerlock.io.repository import Repository
from layerlock.model.recipe import EnvironmentRecipe, ScriptBuild
from layerlock.model.requirements import Architecture
from layerlock.model.runtime import RuntimeRecipe
from layerlock.sources.candidates import Candidate, Kind, candidate, read_requirement
from layerlock.sources.distributions import Distribution, fetch_candidate, read_source, read_wheel
from layerlock.sources.target import Target
from layerlock.workflows import recipe_texts as texts
from layerlock.workflows.driver import Driver
from layerlock.workflows.locking import lock_layer
from layerlock.workflows.resolving import pin_package
from layerlock.workflows.updating import all_or_nothing

if TYPE_CHECKING:
    from layerlock.sources.fetch import Reach

NAME: Final = re.compile(r"[a-z0-9][a-z0-9._-]*(?<!\.wheels)")
"""What recipes may be called; `NAME.wheels.toml` is where pins stand."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Wanted:
    """What to start: a requirement, and what the command line says besides; empty where it says nothing.

    `environment` is what a source is built in, or wheels are installed in; `only` rules out the other kind of file.
    """

    requirement: str
    package: str = ""
    layer: str = ""
    runtime: str = ""
    architecture: Architecture = "x86_64"
    environment: str = ""
    only: Kind | None = None


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


@dataclass(frozen=True, kw_only=True, slots=True)
class _Plan:
    """What was decided before anything is written."""

    package: str
    layer: str
    comment: str
    runtime: RuntimeRecipe
    target: Target
    assembly: str
    tools: tuple[str, ...]

    def place(self, environment: str, glibc: str) -> texts.Place:
        return texts.Place(
            runtime=self.runtime.name,
            python=self.target.python,
            architecture=self.target.architecture,
            glibc=glibc,
            environment=environment,
        )


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
    package = wanted.package or canonicalize_name(requirement.name)
    layer = wanted.layer or package
    for name in (package, layer):
        if not NAME.fullmatch(name):
            raise UsageError(f"`{name}` is no name of [a-z0-9._-]", hint="say another with --name or --layer")
    paths = _paths(repository, package, layer)
    _refuse_what_is_there(repository, paths, package, wanted)
    plan = _decide(repository, wanted, package, layer)
    reached = reach()
    if reached.offline:
        raise Offline(f"`{requirement}` has to be looked for in an index", hint="run once without --offline")
    only = wanted.only
    if plan.target.architecture != "x86_64":
        if only == "source":
            raise UsageError(
                "sources are compiled for x86_64 alone", hint="take the project's wheel: --wheel"
            )
        only = "wheel"
    found = candidate(reached.origins, requirement, plan.target, only)
    file = fetch_candidate(found, driver.store, reached, driver.emit)
    with all_or_nothing(paths):
        if found.kind == "wheel":
            about = read_wheel(file)
            licence, called = _write_wheel(driver, plan, found, about, requirement)
        else:
            with driver.store.scratch(package) as scratch:
                (unpacked := scratch / "source").mkdir()
                about = read_source(file, unpacked)
            licence, called = _write_source(driver, plan, found, about, wanted)
        _write_layer(repository, plan, found, about)
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
        needs=tuple(_needs(about, plan.target)) if found.kind == "source" else (),
    )


def _tools_name(package: str) -> str:
    return f"{package}-build-tools"


def _paths(repository: Repository, package: str, layer: str) -> tuple[Path, ...]:
    """Give every file that may be written; the layer's recipe and lock come last."""
    packages = repository.root / "recipes" / "packages"
    names = (package, _tools_name(package))
    return (
        *(packages / f"{name}{end}.toml" for name in names for end in ("", ".wheels")),
        repository.root / "recipes" / "smoke" / f"{package}.py",
        repository.root / "recipes" / "layers" / f"{layer}.toml",
        repository.lock_path(layer),
    )


def _refuse_what_is_there(
    repository: Repository, paths: tuple[Path, ...], package: str, wanted: Wanted
) -> None:
    if (wanted.layer or package) in repository.names("functions"):
        raise UsageError(f"`{wanted.layer or package}` is a function", hint="name a layer with --layer")
    new = paths if not wanted.layer or wanted.layer not in repository.names("layers") else paths[:-2]
    for path in new:
        if path.exists():
            hint = "give it another name with --name"
            if path == paths[0]:
                hint += f", or move it to another version: layerlock update {package}"
            elif path in paths[-2:]:
                hint = "name the layer that is to hold it, or a new one, with --layer"
            raise UsageError(
                f"{path.relative_to(repository.root)} is there already; nothing is overwritten", hint=hint
            )


def _decide(repository: Repository, wanted: Wanted, package: str, layer: str) -> _Plan:
    """Choose runtime, environment and tools: what is said, else what the layers here have."""
    runtime_name, architecture = wanted.runtime, wanted.architecture
    if layer in repository.names("layers"):
        about = repository.layer(layer).layer
        if wanted.runtime not in ("", about.runtime):
            raise UsageError(f"the layer `{layer}` is for {about.runtime}", hint="leave --runtime out")
        runtime_name, architecture = about.runtime, about.architecture
    runtimes = [repository.runtime(name) for name in repository.names("runtimes")]
    if not runtimes:
        raise UsageError(
            f"{repository.root} has no runtimes", hint="see docs/how-to.md, on recipes elsewhere"
        )
    if runtime_name:
        runtime = repository.runtime(runtime_name)
    else:
        runtime = max(runtimes, key=lambda each: _numbers(each.runtime.python))
    same = [
        about
        for name in repository.names("layers")
        if (about := repository.layer(name).layer).architecture == architecture
    ]
    like = next((each for each in same if each.runtime == runtime.name), same[0] if same else None)
    assembly = like.environment if like is not None else wanted.environment
    if not assembly:
        raise UsageError(
            f"no layer here is for {architecture}, so that it is not known where to assemble one",
            hint="name an environment with --environment",
        )
    return _Plan(
        package=package,
        layer=layer,
        comment=f"Started by `layerlock new {wanted.requirement}`: look it over, it is yours.",
        runtime=runtime,
        target=Target(python=runtime.runtime.python, architecture=architecture, glibc=runtime.levels.glibc),
        assembly=assembly,
        tools=like.tools if like is not None else ("guest-tools",),
    )


def _write_wheel(
    driver: Driver, plan: _Plan, found: Candidate, about: Distribution, requirement: Requirement
) -> tuple[str, str]:
    """Write the recipe of a wheel: alone, or with the wheels that it needs."""
    place = plan.place(plan.assembly, plan.target.glibc)
    extras = f"[{','.join(sorted(requirement.extras))}]" if requirement.extras else ""
    licence, called = _licence(found.project, about)
    head = _head(plan.package, found, about, licence, called)
    if not extras and not [*_needs(about, plan.target)]:
        text = texts.package_of_wheel(plan.comment, head, place, found.url, found.sha256)
        _write(driver.repository, plan.package, text)
        return licence, called
    wants = (f"{found.project}{extras}=={found.version}",)
    return _write_wheels(
        driver, plan.package, lambda h: texts.package_of_wheels(plan.comment, h, place, wants), head
    )


def _write_source(
    driver: Driver, plan: _Plan, found: Candidate, about: Distribution, wanted: Wanted
) -> tuple[str, str]:
    """Write the recipe of a source, and that of what builds it."""
    repository = driver.repository
    environment, glibc = _build_environment(repository, wanted.environment, plan)
    tools = _tools_name(plan.package)
    wants = (*about.build_requires, *_frontend(about))
    place = plan.place(environment, glibc)
    comment = f"What {plan.package} is built with. Nothing of it ships in a layer.\n{plan.comment}"
    head = texts.Head(
        name=tools, version=str(found.version), summary=f"What {plan.package} is built with", licence=""
    )
    base = repository.environment(environment).environment.base or environment
    tools_place = plan.place(base, glibc)
    _write_wheels(
        driver,
        tools,
        lambda h: texts.package_of_wheels(comment, h, tools_place, wants, tools=True),
        head,
    )
    licence, called = _licence(found.project, about)
    inputs = (_compiling_python(repository, plan.runtime), tools)
    head = _head(plan.package, found, about, licence, called)
    text = texts.package_of_source(plan.comment, head, place, found.url, found.sha256, inputs)
    _write(repository, plan.package, text)
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


def _write_layer(repository: Repository, plan: _Plan, found: Candidate, about: Distribution) -> None:
    modules = about.modules or (found.project.replace("-", "_"),)
    smoke = repository.root / "recipes" / "smoke" / f"{plan.package}.py"
    write_bytes(smoke, texts.smoke_test(found.project, modules).encode())
    shown = f"recipes/layers/{plan.layer}.toml"
    path = repository.root / shown
    if plan.layer in repository.names("layers"):
        names = (*repository.layer(plan.layer).layer.packages, plan.package)
        text = edited(path.read_text(encoding="utf-8"), {("layer", "packages"): sorted(names)}, shown)
        write_bytes(path, f"{text.rstrip()}\n\n{texts.smoke(plan.package)}".encode())
        return
    place = plan.place(plan.assembly, plan.target.glibc)
    summary = f"{found.project} {found.version}, for {plan.runtime.name} on {plan.target.architecture}"
    text = texts.layer(plan.comment, plan.layer, plan.package, summary, place, plan.tools)
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


def _build_environment(repository: Repository, named: str, plan: _Plan) -> tuple[str, str]:
    """Choose the environment that a source is compiled in, and give the C library that programs find there.

    Of those that have a compiler, the one whose code asks for the newest C library that the runtime has.

    Raises:
        UsageError: there is none.
    """
    level = _numbers(plan.runtime.levels.glibc)
    found: list[tuple[tuple[int, ...], str, str]] = []
    for name in repository.names("environments"):
        recipe = repository.environment(name)
        root = repository.environment(recipe.environment.base) if recipe.environment.base else recipe
        library = _glibc(root)
        if named == name:
            return name, library or plan.runtime.levels.glibc
        linked = recipe.floor.glibc if recipe.floor is not None else library
        fits = library and _numbers(linked) <= level and recipe.environment.system == "x86_64-linux"
        if fits and {"gcc", "make"} <= {deb.name for deb in root.debs}:
            found.append((_numbers(linked), name, library))
    if named or not found:
        raise UsageError(
            f"there is no environment `{named}`"
            if named
            else f"no environment here compiles for glibc {plan.runtime.levels.glibc}",
            hint="name one with --environment, or take a wheel with --wheel",
        )
    _, name, library = max(found)
    return name, library


def _glibc(environment: EnvironmentRecipe) -> str:
    """Give the version of an environment's C library, `2.31`; empty where its packages do not tell."""
    version = next((deb.version for deb in environment.debs if deb.name == "libc6"), "")
    return version.partition("-")[0]


def _compiling_python(repository: Repository, runtime: RuntimeRecipe) -> str:
    """Give the package that is the runtime's Python for compilers: one that others are built with, if there is any.

    Raises:
        InvalidRecipe: the runtime's own package cannot be read.
    """
    home = str(Path(runtime.runtime.executable).parents[1])
    recipes = {name: repository.package(name) for name in repository.names("packages")}
    used = {
        name for each in recipes.values() if isinstance(each.build, ScriptBuild) for name in each.build.inputs
    }
    pythons = [
        name
        for name, recipe in recipes.items()
        if name in used
        and recipe.mount == home
        and _numbers(recipe.package.version)[:2] == _numbers(runtime.runtime.python)
    ]
    if pythons:
        return pythons[0]
    if runtime.runtime.package not in recipes:
        raise InvalidRecipe(
            f"the runtime `{runtime.name}` names an unknown package `{runtime.runtime.package}`"
        )
    return runtime.runtime.package


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".")[:2] if part.isdigit())
