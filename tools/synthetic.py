"""Recipes of many layers that nobody wrote: what planning and scheduling are measured with.

They are made like a company's: projects of their own, each with a dozen layers or so over a few dozen packages that
need each other, all of them on the same few runtimes, environments and basic packages. The same number and seed give
the same recipes.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import PurePath
from typing import Literal, TypeVar

from layerlock.errors import Location, UsageError
from layerlock.model.derivation import GuestFile
from layerlock.model.layer import AboutLayer, LayerRecipe, PruneRule, PythonSmoke, SmokeTools
from layerlock.model.recipe import (
    About,
    AboutEnvironment,
    Deb,
    EnvironmentRecipe,
    PackageRecipe,
    ScriptBuild,
    TarballSource,
    WheelsBuild,
    WheelSource,
)
from layerlock.model.recipes import GuestCode
from layerlock.model.runtime import (
    AboutRuntime,
    Absent,
    Dates,
    Levels,
    RuntimeLimits,
    RuntimeRecipe,
    Search,
    StandIn,
)
from layerlock.plan.guestcode import FILES

T = TypeVar("T")
Architecture = Literal["x86_64", "arm64"]

MATRIX: tuple[tuple[str, Architecture], ...] = (
    ("3.11", "x86_64"),
    ("3.12", "x86_64"),
    ("3.12", "arm64"),
    ("3.13", "x86_64"),
)
"""The runtimes' Python versions and the processors that layers are for."""

PACKAGES = 38
LAYERS = 4
"""Packages and layers of a project; each layer has a tree, a zip and smoke tests."""

CODE: GuestCode = {
    entry: tuple(GuestFile(name=name, sha256=hashlib.sha256(name.encode()).hexdigest()) for name in names)
    for entry, names in FILES.items()
}
"""Guest code as planning sees it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Synthetic:
    """Recipes by kind and name, as planning asks for them; `layers` are all there is to plan."""

    packages: Mapping[str, PackageRecipe]
    environments: Mapping[str, EnvironmentRecipe]
    runtimes: Mapping[str, RuntimeRecipe]
    layers: Mapping[str, LayerRecipe]

    def package(self, name: str) -> PackageRecipe:
        """Give a package's recipe."""
        return _known(self.packages, name)

    def environment(self, name: str) -> EnvironmentRecipe:
        """Give an environment's recipe."""
        return _known(self.environments, name)

    def runtime(self, name: str) -> RuntimeRecipe:
        """Give a runtime."""
        return _known(self.runtimes, name)

    def layer(self, name: str) -> LayerRecipe:
        """Give a layer's recipe."""
        return _known(self.layers, name)

    def locate(self, kind: str, name: str, dotted: str) -> Location:
        """Give the place of a key in a recipe."""
        return Location(file=f"recipes/{kind}/{name}.toml", path=dotted)

    def data(self, file: str, location: Location | None = None) -> tuple[PurePath, str]:
        """Give the place and the sha256 of a file below `recipes/`."""
        del location
        return PurePath("recipes", file), _sha256(file)


def recipes(derivations: int, seed: int = 0) -> Synthetic:
    """Make recipes of 100 derivations or more, exactly so many."""
    chance = random.Random(seed)  # noqa: S311 - it has to be the same every time
    projects = max(1, (derivations - 10) // (PACKAGES + 3 * LAYERS))
    environments, packages, runtimes = _basics(MATRIX[:projects])
    layers: dict[str, LayerRecipe] = {}
    room = derivations - len(environments) - len(packages) - 3 * LAYERS * projects
    for number in range(projects):
        python, architecture = MATRIX[number % len(MATRIX)]
        mine: list[str] = []
        unused: set[str] = set()
        for index in range((room + number) // projects):
            name = f"project{number}-package{index}"
            packages[name] = _package(name, python, architecture, _some(chance, mine, 4), chance)
            mine.append(name)
            build = packages[name].build
            unused -= set(build.inputs if isinstance(build, ScriptBuild) else ())
            unused.add(name)
        for index in range(LAYERS):
            name = f"project{number}-layer{index}"
            # The last layer takes what no other one takes, so that all packages are in the plan.
            held = tuple(sorted(unused)) if index == LAYERS - 1 else _some(chance, mine, 12)
            layers[name] = _layer(name, python, architecture, held)
            unused -= set(held)
    return Synthetic(packages=packages, environments=environments, runtimes=runtimes, layers=layers)


def _basics(
    matrix: tuple[tuple[str, Architecture], ...],
) -> tuple[dict[str, EnvironmentRecipe], dict[str, PackageRecipe], dict[str, RuntimeRecipe]]:
    stand_ins = sorted({f"stand-in-{architecture}" for _, architecture in matrix})
    environments = {name: _environment(name) for name in ("build", *stand_ins)}
    packages = {"tools": _wheels("tools", "3.11")}
    runtimes: dict[str, RuntimeRecipe] = {}
    for python, _ in matrix:
        package = f"python{python}"
        packages[package] = _script(package, (), "./configure && make install", mount="/var/lang")
        packages[f"client{python}"] = _wheels(f"client{python}", python)
        runtimes[package] = _runtime(package, python)
    return environments, packages, runtimes


def _package(
    name: str, python: str, architecture: Architecture, inputs: tuple[str, ...], chance: random.Random
) -> PackageRecipe:
    """Make a package of a project: one in three is made of wheels."""
    if chance.random() < 1 / 3:
        return _wheels(name, python, "any" if architecture == "arm64" else "manylinux2014_x86_64")
    return _script(name, (f"python{python}", *inputs), f"make {name}\nmake install")


def _script(name: str, inputs: tuple[str, ...], script: str, mount: str | None = None) -> PackageRecipe:
    url = f"https://example.org/{name}-1.0.tar.gz"
    return PackageRecipe(
        package=About(name=name, version="1.0", license="MIT", mount=mount),
        sources=(TarballSource(kind="tarball", urls=(url,), sha256=_sha256(url)),),
        build=ScriptBuild(environment="build", inputs=inputs, script=script, variables={"CFLAGS": "-O2"}),
    )


def _wheels(name: str, python: str, platform: str = "any") -> PackageRecipe:
    tag = "py3-none" if platform == "any" else f"cp{python.replace('.', '')}-cp{python.replace('.', '')}"
    urls = [
        f"https://example.org/{name.replace('-', '_')}_{part}-1.0-{tag}-{platform}.whl" for part in ("a", "b")
    ]
    return PackageRecipe(
        package=About(name=name, version="1.0", license="MIT"),
        sources=tuple(WheelSource(kind="wheel", urls=(url,), sha256=_sha256(url)) for url in urls),
        build=WheelsBuild(
            builder="wheels",
            environment="build",
            python=python,
            site=f"python/lib/python{python}/site-packages",
        ),
    )


def _environment(name: str) -> EnvironmentRecipe:
    debs = [f"debian:debian/pool/main/{name}/package{index}_1.0_amd64.deb" for index in range(90)]
    return EnvironmentRecipe(
        environment=AboutEnvironment(name=name, suite="bullseye", packages=("package0",)),
        debs=tuple(
            Deb(name=f"package{index}", version="1.0", path=path, sha256=_sha256(path), size=1)
            for index, path in enumerate(debs)
        ),
    )


def _runtime(name: str, python: str) -> RuntimeRecipe:
    return RuntimeRecipe(
        runtime=AboutRuntime(
            name=name,
            python=python,
            system="amazonlinux2023",
            environment="stand-in-x86_64",
            package=name,
            executable=f"/var/lang/bin/{name}",
            architectures=("x86_64", "arm64"),
        ),
        levels=Levels(glibc="2.34", glibcxx="3.4.29", cxxabi="1.3.13", gcc="11.0.0"),
        search=Search(libraries=("/var/lang/lib", "/opt/lib"), modules=("/var/task", "/opt/python")),
        limits=RuntimeLimits(unzipped=262144000, direct_upload=50 << 20, request=69905067, layers=5, tmp=512),
        dates=Dates(deprecated=date(2029, 6, 30), updates_blocked=date(2029, 12, 31)),
        absent=Absent(libraries=("libgomp.so.1", "libGL.so.1")),
        exports={"x86_64": "x86_64.exports", "arm64": "arm64.exports"},
        stand_ins=(StandIn(architecture="arm64", environment="stand-in-arm64", package=name),),
    )


def _layer(name: str, python: str, architecture: Architecture, packages: tuple[str, ...]) -> LayerRecipe:
    return LayerRecipe(
        layer=AboutLayer(
            name=name,
            summary="A layer that nobody needs",
            runtime=f"python{python}",
            architecture=architecture,
            environment="build",
            packages=packages,
            tools=("tools",),
        ),
        prune=tuple(
            PruneRule(name=rule, patterns=(f"**/{rule}/**",)) for rule in ("tests", "docs", "include")
        ),
        smoke_tools=SmokeTools(packages=(f"client{python}",)),
        smoke=(PythonSmoke(name="imports", file=f"smoke/{name}.py"),),
    )


def _some(chance: random.Random, names: list[str], most: int) -> tuple[str, ...]:
    """Choose up to so many names, in their order, rather late ones than early ones."""
    wanted = chance.randint(0 if most < 5 else 3, most)
    chosen = {names[int(len(names) * chance.random() ** 0.5)] for _ in range(wanted) if names}
    return tuple(sorted(chosen, key=names.index))


def _known(records: Mapping[str, T], name: str) -> T:
    try:
        return records[name]
    except KeyError:
        raise UsageError(f"there is no `{name}`") from None


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
