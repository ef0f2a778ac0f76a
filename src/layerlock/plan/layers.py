"""Derivations of a layer: its tree, its zip, and the proof that it works."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from layerlock.errors import InvalidRecipe
from layerlock.model.derivation import DataInput, Derivation, GuestRun, Input, Needs
from layerlock.model.digest import Canonical
from layerlock.model.layer import SMOKE_SECONDS, InvokeSmoke, LayerRecipe, PythonSmoke
from layerlock.model.recipe import WheelsBuild
from layerlock.model.recipes import GuestCode, Recipes
from layerlock.model.runtime import RuntimeRecipe, StandIn
from layerlock.plan.guestcode import files_of
from layerlock.plan.packages import environment_name, guest_command, variables
from layerlock.plan.stack import beneath

NOBODY = 65534
"""The user of smoke tests: Lambda runs functions as an unprivileged user who owns nothing."""

PACKERS = {"libdeflate": "pack.py", "zopfli": "pack_zopfli.py"}
"""The guest script of each compressor."""

SAME_LOGARITHMS = {
    "GLIBC_TUNABLES": "glibc.cpu.hwcaps=-FMA,-FMA4,-AVX2,-FMA_Usable,-FMA4_Usable,-AVX2_Usable"
}
"""Makes the C library compute one logarithm on every processor, by the names before and since glibc 2.33.

zopfli's choices depend on logarithms, and their last bits on whether fused multiplication is used."""

SMOKE = "/layerlock/smoke"
"""Where smoke tests and what they read stand."""

STRIP = {"x86_64": "strip", "arm64": "aarch64-linux-gnu-strip"}
"""What strips objects of a processor. Debian's name for arm64's is the same on every kind of host."""

LEAN = "assemble_lean.py"
"""What assembles where a layer leaves out some of its bytecode."""

SMALLEST_PAGE = 4096
"""Bytes of a memory page; no processor of Lambda's has smaller ones."""

PAGED = "assemble_paged.py"
"""What assembles where objects are laid out for the runtime's memory pages."""

OLDER_PYTHON = "older_python.py"
"""What assembles where bytecode is for a Python before 3.11, whose marshal does not write the same bytes every time."""


def tree_name(layer: str) -> str:
    """Give the name of the derivation of a layer's tree."""
    return f"layer-{layer}-tree"


def zip_name(layer: str) -> str:
    """Give the name of the derivation of a layer's zip."""
    return f"layer-{layer}-zip"


def merged_name(layer: str) -> str:
    """Give the name of the derivation of a layer's tree over those of the layers that it is used with."""
    return f"layer-{layer}-merged"


def smoke_name(layer: str) -> str:
    """Give the name of the derivation of a layer's smoke tests."""
    return f"layer-{layer}-smoke"


def derivations(recipe: LayerRecipe, recipes: Recipes, code: GuestCode) -> tuple[Derivation, ...]:
    """Describe everything that is made of a layer, inputs first; the trees of those below are planned beside it."""
    opt = merged(recipe, recipes, code)
    return (
        tree(recipe, recipes, code),
        archive(recipe, recipes, code),
        *((opt,) if opt is not None else ()),
        smoke(recipe, recipes, code),
    )


def tree(recipe: LayerRecipe, recipes: Recipes, code: GuestCode) -> Derivation:
    """Describe the assembly of what lands under `/opt`."""
    about = recipe.layer
    runtime = _runtime(recipe, recipes)
    exports = runtime.exports[about.architecture]
    _, exports_hash = recipes.data(f"runtimes/{exports}")
    python = recipes.package(runtime.runtime.package)
    below = [layer.name for layer in beneath(recipe, recipes)]
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
        "strip_program": STRIP[about.architecture],
        "private": list(about.private),
        "lower": list(about.lower),
        "bytecode": about.bytecode,
        "forbidden_strings": ["/build/", "/deps/"],
        "forbidden_except": [pattern for rule in recipe.allow_build_paths for pattern in rule.patterns],
    }
    # Left out where they say nothing: the hashes of layers that do without them are older than these keys.
    if below:
        task["beneath"] = [{"name": name, "path": f"/deps/{tree_name(name)}"} for name in below]
    if about.loaded_before:
        task["loaded_before"] = list(about.loaded_before)
    if about.keep_sources:
        task["keep_sources"] = list(about.keep_sources)
    entry = _assembler(recipe, recipes, runtime, code)
    if entry == LEAN:
        task["columns"] = about.columns
        task["no_bytecode"] = [pattern for rule in recipe.no_bytecode for pattern in rule.patterns]
    if entry == PAGED:
        task["max_page_size"] = about.max_page_size
    return _step(
        recipe,
        recipes,
        code,
        name=tree_name(recipe.name),
        entry=entry,
        task=task,
        inputs=(
            Input(name=python.name, mount=python.mount),
            *(Input(name=name, mount=f"/deps/{name}") for name in (*about.packages, *about.tools)),
            *_trees(below),
        ),
        data=(
            DataInput(
                path=f"recipes/runtimes/{exports}", place=f"/layerlock/runtime/{exports}", sha256=exports_hash
            ),
        ),
        needs=Needs(memory=3 << 30),
    )


def _assembler(recipe: LayerRecipe, recipes: Recipes, runtime: RuntimeRecipe, code: GuestCode) -> str:
    """Give the guest script that makes the layer's bytecode as the recipe wants it, and everything else of its tree.

    The guest code of past revisions has none for older Pythons.
    """
    about = recipe.layer
    lean = bool(recipe.no_bytecode) or not about.columns
    older = tuple(int(part) for part in runtime.runtime.python.split(".")) < (3, 11)
    if about.max_page_size is not None:
        _check_pages(recipe, recipes, about.max_page_size)
        return PAGED
    if about.bytecode == "none":
        return "assemble.py"
    if lean and (older or about.bytecode == "sourceless"):
        raise InvalidRecipe(
            "`columns` and `[[no_bytecode]]` are for `unchecked-hash` bytecode of Python 3.11 and later",
            hint="say `columns = true` and `no_bytecode = []`, or give another kind of bytecode or another runtime",
            location=recipes.locate("layers", recipe.name, "layer.bytecode"),
        )
    if older and OLDER_PYTHON in code:
        return OLDER_PYTHON
    if about.bytecode == "sourceless":
        return "sourceless.py"
    return LEAN if lean else "assemble.py"


def _check_pages(recipe: LayerRecipe, recipes: Recipes, page: int) -> None:
    place = recipes.locate("layers", recipe.name, "layer.max_page_size")
    if page < SMALLEST_PAGE or page & (page - 1):
        raise InvalidRecipe(
            f"no processor has memory pages of {page} bytes",
            hint="give a power of two from 4096 on: Lambda's have 4096",
            location=place,
        )
    if recipe.layer.bytecode != "none":
        raise InvalidRecipe(
            "`max_page_size` is for layers without bytecode",
            hint='say `bytecode = "none"`, or leave it out',
            location=place,
        )


def archive(recipe: LayerRecipe, recipes: Recipes, code: GuestCode) -> Derivation:
    """Describe the packing of a layer's tree."""
    return _step(
        recipe,
        recipes,
        code,
        name=zip_name(recipe.name),
        entry=PACKERS[recipe.compressor.name],
        task={
            "name": f"{recipe.name}.zip",
            "tree": "/deps/tree",
            "compressor": recipe.compressor.name,
            "level": recipe.compressor.level,
            "python_path": _tools_path(recipe, recipes),
        },
        inputs=(
            Input(name=tree_name(recipe.name), mount="/deps/tree", part="tree"),
            *(Input(name=name, mount=f"/deps/{name}") for name in recipe.layer.tools),
        ),
        more=SAME_LOGARITHMS if recipe.compressor.name == "zopfli" else {},
    )


def merged(recipe: LayerRecipe, recipes: Recipes, code: GuestCode) -> Derivation | None:
    """Describe what stands below `/opt` when a layer is used with others; None for one that is used alone."""
    about = recipe.layer
    names = [layer.name for layer in (*beneath(recipe, recipes), recipe)]
    if len(names) == 1:
        return None
    return _step(
        recipe,
        recipes,
        code,
        name=merged_name(recipe.name),
        entry="merge.py",
        task={
            "layers": [{"name": name, "path": f"/deps/{tree_name(name)}"} for name in names],
            "limit": recipes.runtime(about.runtime).limits.unzipped,
            "python_path": _tools_path(recipe, recipes),
        },
        inputs=(
            *_trees(names),
            *(Input(name=name, mount=f"/deps/{name}") for name in about.tools),
        ),
    )


def _step(
    recipe: LayerRecipe,
    recipes: Recipes,
    code: GuestCode,
    *,
    name: str,
    entry: str,
    task: dict[str, Canonical],
    inputs: tuple[Input, ...],
    data: tuple[DataInput, ...] = (),
    needs: Needs | None = None,
    more: Mapping[str, str] = MappingProxyType({}),
) -> Derivation:
    """Describe a step that a guest script does in the environment that the layer is assembled in.

    `more` are variables over the environment's own.
    """
    environment = recipe.layer.environment
    root = environment_name(environment)
    return Derivation(
        name=name,
        version="",
        system=recipes.environment(environment).environment.system,
        action=GuestRun(
            root=root,
            command=guest_command(recipes, environment),
            entry=entry,
            guest=files_of(entry, code),
            task=task,
            variables={**variables(recipes, environment), **more},
        ),
        inputs=(Input(name=root, mount=None), *inputs),
        data=data,
        needs=needs or Needs(),
    )


def smoke(recipe: LayerRecipe, recipes: Recipes, code: GuestCode) -> Derivation:
    """Describe the smoke tests: the layer at `/opt`, read-only, in a root like the runtime's.

    On a processor that is not the environments' own, everything but the emulator and AWS's program is of the root,
    the scripts' Python included.
    """
    runtime = _runtime(recipe, recipes)
    stand_in = stand_in_of(recipe, recipes)
    root = environment_name(stand_in.environment)
    launcher = _launcher(stand_in)
    alone = not recipe.layer.with_
    helpers = [recipes.package(name) for name in recipe.smoke_tools.packages]
    data: dict[str, DataInput] = {}
    tests: list[dict[str, Canonical]] = []
    for test in recipe.smoke:
        placed = []
        for file in (test.file, *(test.data if isinstance(test, PythonSmoke) else ())):
            place = f"{SMOKE}/{file.rpartition('/')[2]}"
            _, sha256 = recipes.data(file, recipes.locate("layers", recipe.name, "smoke"))
            data[place] = DataInput(path=f"recipes/{file}", place=place, sha256=sha256)
            placed.append(place)
        match test:
            case PythonSmoke():
                told: dict[str, Canonical] = {
                    "name": test.name,
                    "kind": "python",
                    "file": placed[0],
                    "arguments": placed[1:],
                }
            case InvokeSmoke():
                told = {
                    "name": test.name,
                    "kind": "invoke",
                    "handler": test.handler,
                    "file": placed[0],
                    "event": test.event,
                    "expect": test.expect,
                }
        tests.append(told if test.time == SMOKE_SECONDS else {**told, "timeout": test.time})
    about_runtime: dict[str, Canonical] = {
        "executable": runtime.runtime.executable,
        "libraries_path": list(runtime.search.libraries),
        "modules_path": list(runtime.search.modules),
        "variables": dict(runtime.variables) | dict(recipe.smoke_tools.environment),
    }
    if launcher:
        about_runtime["launcher"] = list(launcher)
    paths = [f"/deps/{p.name}/{_site(p.build)}" for p in helpers if isinstance(p.build, WheelsBuild)]
    return Derivation(
        name=smoke_name(recipe.name),
        version="",
        system=recipes.environment(stand_in.environment).environment.system,
        action=GuestRun(
            root=root,
            command=(*launcher, runtime.runtime.executable, "-s", "-E", "-B"),
            entry="smoke.py",
            guest=files_of("smoke.py", code),
            task={
                "tests": tests,
                "runtime": about_runtime,
                "emulator": "/deps/lambda-emulator/aws-lambda-rie",
                "client_path": paths,
            },
            variables=variables(recipes, stand_in.environment),
            uid=NOBODY,
            shared_memory=False,
        ),
        inputs=(
            Input(name=root, mount=None),
            *_python(stand_in, recipes),
            *_emulator(stand_in),
            Input(name=(tree_name if alone else merged_name)(recipe.name), mount="/opt", part="tree"),
            *(Input(name=helper.name, mount=f"/deps/{helper.name}") for helper in helpers),
        ),
        data=tuple(data[place] for place in sorted(data)),
        needs=Needs(memory=3 << 30),
    )


def stand_in_of(recipe: LayerRecipe, recipes: Recipes) -> StandIn:
    """Give what stands in for a layer's runtime on the layer's processor.

    Raises:
        InvalidRecipe: nothing does, so that the layer cannot be tried.
    """
    about = recipe.layer
    found = recipes.runtime(about.runtime).stand_in(about.architecture)
    if found is None:
        raise InvalidRecipe(
            f"nothing stands in for the runtime `{about.runtime}` on {about.architecture}",
            hint=f"add a row of `[[stand_ins]]` to recipes/runtimes/{about.runtime}.toml",
            location=recipes.locate("layers", recipe.name, "layer.architecture"),
        )
    return found


def _launcher(stand_in: StandIn) -> tuple[str, ...]:
    if stand_in.emulator is None or stand_in.launcher is None:
        return ()
    return (f"/deps/{stand_in.emulator}/{stand_in.launcher}",)


def _emulator(stand_in: StandIn) -> tuple[Input, ...]:
    if stand_in.emulator is None or not _launcher(stand_in):
        return ()
    return (Input(name=stand_in.emulator, mount=f"/deps/{stand_in.emulator}"),)


def _python(stand_in: StandIn, recipes: Recipes) -> tuple[Input, ...]:
    if stand_in.package is None:
        return ()
    python = recipes.package(stand_in.package)
    return (Input(name=python.name, mount=python.mount),)


def _trees(names: list[str]) -> tuple[Input, ...]:
    return tuple(Input(name=tree_name(name), mount=f"/deps/{tree_name(name)}", part="tree") for name in names)


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
