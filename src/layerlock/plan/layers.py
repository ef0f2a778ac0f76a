"""Derivations of a layer: its tree, its zip, and the proof that it works."""

from __future__ import annotations

from layerlock.errors import InvalidRecipe
from layerlock.model.derivation import DataInput, Derivation, GuestRun, Input, Needs
from layerlock.model.digest import Canonical
from layerlock.model.layer import InvokeSmoke, LayerRecipe, PythonSmoke
from layerlock.model.recipe import WheelsBuild
from layerlock.model.recipes import GuestCode, Recipes
from layerlock.model.runtime import RuntimeRecipe
from layerlock.plan.guestcode import files_of
from layerlock.plan.packages import environment_name, guest_command, variables

NOBODY = 65534
"""The user of smoke tests: Lambda runs functions as an unprivileged user who owns nothing."""


def tree_name(layer: str) -> str:
    """Give the name of the derivation of a layer's tree."""
    return f"layer-{layer}-tree"


def zip_name(layer: str) -> str:
    """Give the name of the derivation of a layer's zip."""
    return f"layer-{layer}-zip"


def smoke_name(layer: str) -> str:
    """Give the name of the derivation of a layer's smoke tests."""
    return f"layer-{layer}-smoke"


def tree(recipe: LayerRecipe, recipes: Recipes, code: GuestCode) -> Derivation:
    """Describe the assembly of what lands under `/opt`."""
    about = recipe.layer
    runtime = _runtime(recipe, recipes)
    exports = runtime.exports[about.architecture]
    _, exports_hash = recipes.data(f"runtimes/{exports}")
    python = recipes.package(runtime.runtime.package)
    root = environment_name(about.environment)
    task: dict[str, Canonical] = {
        "layer": recipe.name,
        "architecture": about.architecture,
        "packages": [{"name": name, "path": f"/deps/{name}"} for name in about.packages],
        "python_path": _tools_path(recipe, recipes),
        "runtime": {
            "name": runtime.name,
            "glibc": runtime.levels.glibc,
            "libraries_path": list(runtime.search.libraries),
            "exports": f"/layerlock/runtime/{exports}",
            "absent": list(runtime.absent.libraries),
            "lower": [
                {"library": row.library, "from": row.from_, "to": row.to, "symbols": list(row.symbols)}
                for row in runtime.lower
                if row.architecture == about.architecture
            ],
        },
        "python": {"version": runtime.runtime.python, "executable": runtime.runtime.executable},
        "prune": [
            {"name": rule.name, "patterns": list(rule.patterns), "reason": rule.reason}
            for rule in recipe.prune
        ],
        "keep": [pattern for rule in recipe.keep for pattern in rule.patterns],
        "strip": about.strip,
        "strip_program": "strip",
        "private": list(about.private),
        "lower": list(about.lower),
        "bytecode": about.bytecode,
        "forbidden_strings": ["/build/", "/deps/"],
        "forbidden_except": [pattern for rule in recipe.allow_build_paths for pattern in rule.patterns],
    }
    return Derivation(
        name=tree_name(recipe.name),
        version="",
        system=recipes.environment(about.environment).environment.system,
        action=GuestRun(
            root=root,
            command=guest_command(recipes, about.environment),
            entry="assemble.py",
            guest=files_of("assemble.py", code),
            task=task,
            variables=variables(recipes, about.environment),
        ),
        inputs=(
            Input(name=root, mount=None),
            Input(name=python.name, mount=python.mount),
            *(Input(name=name, mount=f"/deps/{name}") for name in (*about.packages, *about.tools)),
        ),
        data=(
            DataInput(
                path=f"recipes/runtimes/{exports}", place=f"/layerlock/runtime/{exports}", sha256=exports_hash
            ),
        ),
        needs=Needs(memory=3 << 30),
    )


def archive(recipe: LayerRecipe, recipes: Recipes, code: GuestCode) -> Derivation:
    """Describe the packing of a layer's tree."""
    about = recipe.layer
    root = environment_name(about.environment)
    return Derivation(
        name=zip_name(recipe.name),
        version="",
        system=recipes.environment(about.environment).environment.system,
        action=GuestRun(
            root=root,
            command=guest_command(recipes, about.environment),
            entry="pack.py",
            guest=files_of("pack.py", code),
            task={
                "name": f"{recipe.name}.zip",
                "tree": "/deps/tree",
                "compressor": recipe.compressor.name,
                "level": recipe.compressor.level,
                "python_path": _tools_path(recipe, recipes),
            },
            variables=variables(recipes, about.environment),
        ),
        inputs=(
            Input(name=root, mount=None),
            Input(name=tree_name(recipe.name), mount="/deps/tree", part="tree"),
            *(Input(name=name, mount=f"/deps/{name}") for name in about.tools),
        ),
    )


def smoke(recipe: LayerRecipe, recipes: Recipes, code: GuestCode) -> Derivation:
    """Describe the smoke tests: the layer at `/opt`, read-only, in a root like the runtime's."""
    runtime = _runtime(recipe, recipes)
    python = recipes.package(runtime.runtime.package)
    root = environment_name(runtime.runtime.environment)
    helpers = [recipes.package(name) for name in recipe.smoke_tools.packages]
    data: dict[str, DataInput] = {}
    tests: list[dict[str, Canonical]] = []
    for test in recipe.smoke:
        placed = []
        for file in (test.file, *(test.data if isinstance(test, PythonSmoke) else ())):
            place = f"/layerlock/smoke/{file.rpartition('/')[2]}"
            _, sha256 = recipes.data(file, recipes.locate("layers", recipe.name, "smoke"))
            data[place] = DataInput(path=f"recipes/{file}", place=place, sha256=sha256)
            placed.append(place)
        match test:
            case PythonSmoke():
                tests.append(
                    {"name": test.name, "kind": "python", "file": placed[0], "arguments": placed[1:]}
                )
            case InvokeSmoke():
                tests.append(
                    {
                        "name": test.name,
                        "kind": "invoke",
                        "handler": test.handler,
                        "file": placed[0],
                        "event": test.event,
                        "expect": test.expect,
                    }
                )
    paths = [f"/deps/{p.name}/{_site(p.build)}" for p in helpers if isinstance(p.build, WheelsBuild)]
    return Derivation(
        name=smoke_name(recipe.name),
        version="",
        system=recipes.environment(runtime.runtime.environment).environment.system,
        action=GuestRun(
            root=root,
            command=(runtime.runtime.executable, "-s", "-E", "-B"),
            entry="smoke.py",
            guest=files_of("smoke.py", code),
            task={
                "tests": tests,
                "runtime": {
                    "executable": runtime.runtime.executable,
                    "libraries_path": list(runtime.search.libraries),
                    "modules_path": list(runtime.search.modules),
                    "variables": dict(runtime.variables) | dict(recipe.smoke_tools.environment),
                },
                "emulator": "/deps/lambda-emulator/aws-lambda-rie",
                "client_path": paths,
            },
            variables=variables(recipes, runtime.runtime.environment),
            uid=NOBODY,
            shared_memory=False,
        ),
        inputs=(
            Input(name=root, mount=None),
            Input(name=python.name, mount=python.mount),
            Input(name=tree_name(recipe.name), mount="/opt", part="tree"),
            *(Input(name=helper.name, mount=f"/deps/{helper.name}") for helper in helpers),
        ),
        data=tuple(data[place] for place in sorted(data)),
        needs=Needs(memory=3 << 30),
    )


def _runtime(recipe: LayerRecipe, recipes: Recipes) -> RuntimeRecipe:
    runtime = recipes.runtime(recipe.layer.runtime)
    if recipe.layer.architecture not in runtime.exports:
        raise InvalidRecipe(
            f"the runtime `{runtime.name}` has no list of exports for {recipe.layer.architecture}",
            location=recipes.locate("layers", recipe.name, "layer.architecture"),
        )
    return runtime


def _tools_path(recipe: LayerRecipe, recipes: Recipes) -> list[str]:
    tools = [recipes.package(name) for name in recipe.layer.tools]
    return [f"/deps/{p.name}/{_site(p.build)}" for p in tools if isinstance(p.build, WheelsBuild)]


def _site(build: WheelsBuild) -> str:
    return build.site or f"lib/python{build.python}/site-packages"
