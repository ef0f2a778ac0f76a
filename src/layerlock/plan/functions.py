"""Derivations of a function: its tree, its zip, the layers that it runs with, and the proof that it answers.

They are those of a layer, with another last step of assembly, and another place in the root that tries them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from layerlock.model.derivation import Derivation, GuestRun, Input
from layerlock.model.digest import Canonical
from layerlock.model.function import FunctionLayer
from layerlock.model.layer import SMOKE_SECONDS, LayerRecipe
from layerlock.model.recipes import GuestCode, Recipes
from layerlock.plan import layers
from layerlock.plan.guestcode import files_of
from layerlock.plan.stack import beneath

SMOKES = re.compile(r"(?:layer|function)-.+-smoke")
"""Names of derivations that leave nothing but how long tests took."""

TASK = "/var/task"
"""Where Lambda unpacks a function."""

MODULES = "python"
"""The folder of packages whose modules layers are found by; in a function's zip they stand at the top."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Names:
    """The names of the derivations that make a layer or a function, and try it."""

    tree: str
    zip: str
    smoke: str

    @property
    def all(self) -> tuple[str, str, str]:
        """Give them in build order."""
        return self.tree, self.zip, self.smoke


def names_of(recipe: LayerRecipe) -> Names:
    """Give the names of the derivations of a layer or a function."""
    kind = "function" if isinstance(recipe, FunctionLayer) else "layer"
    return Names(
        tree=f"{kind}-{recipe.name}-tree",
        zip=f"{kind}-{recipe.name}-zip",
        smoke=f"{kind}-{recipe.name}-smoke",
    )


def raised(recipe: LayerRecipe, python: str) -> tuple[str, ...]:
    """Give the folders whose files come to the top of the zip, the innermost first, as `guest/function.py` does it."""
    if not isinstance(recipe, FunctionLayer):
        return ()
    return f"{MODULES}/lib/python{python}/site-packages", MODULES


def derivations(recipe: FunctionLayer, recipes: Recipes, code: GuestCode) -> tuple[Derivation, ...]:
    """Describe everything that is made of a function, inputs first; its layers' trees are planned beside it."""
    opt = merged(recipe, recipes, code)
    return (
        tree(recipe, recipes, code),
        archive(recipe, recipes, code),
        *((opt,) if opt is not None else ()),
        smoke(recipe, recipes, code),
    )


def tree(recipe: FunctionLayer, recipes: Recipes, code: GuestCode) -> Derivation:
    """Describe the assembly of what lands under `/var/task`."""
    made = layers.tree(recipe, recipes, code)
    run = _run(made)
    entry = run.entry if run.entry == layers.OLDER_PYTHON else "function.py"
    return replace(
        made,
        name=names_of(recipe).tree,
        action=replace(
            run,
            entry=entry,
            guest=files_of(entry, code),
            task={**run.task, "handler": recipe.handler},
        ),
    )


def archive(recipe: FunctionLayer, recipes: Recipes, code: GuestCode) -> Derivation:
    """Describe the packing of a function's tree, which is that of a layer's."""
    made = layers.archive(recipe, recipes, code)
    mine = names_of(recipe)
    inputs = tuple(
        replace(item, name=mine.tree) if item.name == layers.tree_name(recipe.name) else item
        for item in made.inputs
    )
    return replace(made, name=mine.zip, inputs=inputs)


def merged(recipe: FunctionLayer, recipes: Recipes, code: GuestCode) -> Derivation | None:
    """Describe what stands below `/opt` when several layers are unpacked there; None for one layer, or none."""
    below = beneath(recipe, recipes)
    if len(below) < 2:
        return None
    top = below[-1]
    others = tuple(layer.name for layer in below[:-1])
    made = layers.merged(replace(top, layer=replace(top.layer, with_=others)), recipes, code)
    assert made is not None  # noqa: S101 - there are two layers at least
    return replace(made, name=_merged_name(recipe))


def smoke(recipe: FunctionLayer, recipes: Recipes, code: GuestCode) -> Derivation:
    """Describe the smoke tests: the function at `/var/task` and its layers at `/opt`, in a root like the runtime's."""
    variables = {
        "AWS_LAMBDA_FUNCTION_NAME": recipe.name,
        **recipe.variables,
        **recipe.smoke_tools.environment,
    }
    made = layers.smoke(
        replace(recipe, smoke_tools=replace(recipe.smoke_tools, environment=variables)), recipes, code
    )
    run = _run(made)
    tests: list[Canonical] = []
    for test in recipe.invocations:
        told: dict[str, Canonical] = {
            "name": test.name,
            "kind": "invoke",
            "handler": recipe.handler,
            "file": f"{TASK}/{recipe.handler}",
            "event": test.event,
            "expect": test.expect,
        }
        tests.append(told if test.time == SMOKE_SECONDS else {**told, "timeout": test.time})
    return replace(
        made,
        name=names_of(recipe).smoke,
        action=replace(run, task={**run.task, "tests": tests}),
        inputs=(
            *(item for item in made.inputs if item.mount != "/opt"),
            Input(name=names_of(recipe).tree, mount=TASK, part="tree"),
            *_opt(recipe, recipes),
        ),
    )


def invocation(
    recipe: FunctionLayer, recipes: Recipes, code: GuestCode, told: dict[str, Canonical]
) -> Derivation:
    """Describe invocations that nothing is recorded of: in the same root as the smoke tests, with `told` besides."""
    made = smoke(recipe, recipes, code)
    run = _run(made)
    task = {name: value for name, value in run.task.items() if name != "tests"}
    return replace(
        made,
        name=f"function-{recipe.name}-invoke",
        action=replace(
            run,
            entry="invoke.py",
            guest=files_of("invoke.py", code),
            task={**task, "handler": recipe.handler, "folder": TASK, **told},
        ),
    )


def _opt(recipe: FunctionLayer, recipes: Recipes) -> tuple[Input, ...]:
    below = beneath(recipe, recipes)
    if not below:
        return ()
    name = _merged_name(recipe) if len(below) > 1 else layers.tree_name(below[0].name)
    return (Input(name=name, mount="/opt", part="tree"),)


def _merged_name(recipe: FunctionLayer) -> str:
    return f"function-{recipe.name}-layers"


def _run(made: Derivation) -> GuestRun:
    assert isinstance(made.action, GuestRun)  # noqa: S101 - whatever is made of layers runs in the sandbox
    return made.action
