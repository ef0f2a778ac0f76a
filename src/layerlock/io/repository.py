"""A recipe folder: finding, reading and checking what stands in `recipes/`, `patches/` and `lockfiles/`."""

from __future__ import annotations

import difflib
import hashlib
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol, TypeVar

from layerlock.errors import HashMismatch, InvalidRecipe, Location, UsageError
from layerlock.io.documents import locate, read_record, read_table
from layerlock.model.function import FunctionRecipe
from layerlock.model.layer import LayerRecipe
from layerlock.model.recipe import EnvironmentRecipe, PackageRecipe
from layerlock.model.runtime import RuntimeRecipe
from layerlock.plan.requirements import with_wheels


class _Named(Protocol):
    @property
    def name(self) -> str: ...


T = TypeVar("T", bound=_Named)

PINS: Mapping[str, tuple[str, ...]] = {"environments": (".debs", ".image"), "packages": (".wheels",)}
"""What files beside a recipe are called, before `.toml`, that hold its pins, by the recipe's kind."""


class Repository:
    """Recipes by name, read when they are asked for and then kept."""

    def __init__(self, root: Path) -> None:
        """Open the folder `root`.

        Raises:
            UsageError: it holds no `recipes` folder.
        """
        self.root = root
        if not (root / "recipes").is_dir():
            raise UsageError(
                f"{root} holds no `recipes` folder",
                hint="start layerlock in a recipe repository, or name one with --repo DIR",
            )
        self._kept: dict[tuple[str, str], Any] = {}

    def fresh(self) -> Repository:
        """Give the same folder, to be read again."""
        return Repository(self.root)

    def with_layer(self, recipe: LayerRecipe) -> Repository:
        """Give the same folder with another recipe of a layer than its file holds."""
        made = Repository(self.root)
        made._kept = {**self._kept, ("layers", recipe.name): recipe}
        return made

    def package(self, name: str) -> PackageRecipe:
        """Read the recipe of a package; the wheels found for its requirements are among its sources."""
        return with_wheels(self._read("packages", name, PackageRecipe, "package"))

    def environment(self, name: str) -> EnvironmentRecipe:
        """Read the recipe of an environment, with its pinned packages."""
        return self._read("environments", name, EnvironmentRecipe, "environment")

    def runtime(self, name: str) -> RuntimeRecipe:
        """Read a runtime's description."""
        return self._read("runtimes", name, RuntimeRecipe, "runtime")

    def layer(self, name: str) -> LayerRecipe:
        """Read the recipe of a layer, or of a function as the layer that it is assembled like.

        Raises:
            InvalidRecipe: a layer and a function have the same name.
        """
        if not self._has("functions", name):
            return self._read("layers", name, LayerRecipe, "layer")
        if self._has("layers", name):
            raise InvalidRecipe(
                f"`{name}` is a layer and a function; their locks would be one file",
                hint="rename one of them",
                location=self.locate("functions", name, "function.name"),
            )
        return self.function(name).as_layer()

    def function(self, name: str) -> FunctionRecipe:
        """Read the recipe of a function."""
        return self._read("functions", name, FunctionRecipe, "function")

    def targets(self) -> tuple[str, ...]:
        """List the layers and functions: what has a lock and becomes a zip."""
        return tuple(sorted({*self.names("layers"), *self.names("functions")}))

    def names(self, kind: str) -> tuple[str, ...]:
        """List what there is of `packages`, `environments`, `runtimes`, `layers` or `functions`."""
        found = (path.name.removesuffix(".toml") for path in (self.root / "recipes" / kind).glob("*.toml"))
        return tuple(sorted(name for name in found if not name.endswith(PINS.get(kind, ()))))

    def snapshots(self) -> tuple[str, ...]:
        """Give the moments of Debian's archive that environments are of, the latest first."""
        moments = {self.environment(name).environment.snapshot for name in self.names("environments")}
        return tuple(sorted((moment for moment in moments if moment), reverse=True))

    def recipe_file(self, kind: str, name: str) -> str:
        """Give a recipe's place from the top of the repository; a function's may be asked for as a layer's."""
        if kind == "layers" and self._has("functions", name):
            kind = "functions"
        return f"recipes/{kind}/{name}.toml"

    def locate(self, kind: str, name: str, dotted: str) -> Location:
        """Find the line of a key of a recipe; a function's keys may be asked for as a layer's."""
        shown = self.recipe_file(kind, name)
        found = re.match(r"sources\[(\d+)\]", dotted) if kind == "packages" else None
        kept = self._kept.get((kind, name)) if found else None
        if found and kept is not None and int(found[1]) >= len(kept.sources):
            # Its own sources come first, then the wheels that were found for it: one a line, in a file of their own.
            shown = shown.replace(".toml", ".wheels.toml")
            place = locate(self.root / shown, shown, "resolved.wheels")
            number = int(found[1]) - len(kept.sources)
            line = None if place.line is None else place.line + 1 + number
            return replace(place, line=line, path=f"resolved.wheels[{number}]")
        if shown.startswith("recipes/functions/"):
            for mine, theirs in (("layer.with", "function.layers"), ("layer.", "function.")):
                if dotted.startswith(mine):
                    dotted = theirs + dotted.removeprefix(mine)
                    break
        return locate(self.root / shown, shown, dotted)

    def lock_path(self, layer: str) -> Path:
        """Give the place of a layer's lock."""
        return self.root / "lockfiles" / f"{layer}.lock"

    def times_path(self, layer: str) -> Path:
        """Give the place beside a layer's lock where it stands how long its builds took."""
        return self.lock_path(layer).with_suffix(".times.toml")

    def patch(self, package: PackageRecipe, index: int) -> Path:
        """Give the place of a package's patch, its hash checked.

        Raises:
            InvalidRecipe: the patch is missing.
            HashMismatch: its bytes are not the pinned ones.
        """
        patch = package.patches[index]
        path = self.root / "patches" / patch.file
        location = self.locate("packages", package.name, f"patches[{index}].file")
        try:
            found = hashlib.sha256(path.read_bytes()).hexdigest()
        except OSError:
            raise InvalidRecipe(f"there is no patch `patches/{patch.file}`", location=location) from None
        if found != patch.sha256:
            raise HashMismatch(
                f"patches/{patch.file} has the sha256 {found}, the recipe says {patch.sha256}",
                hint="if the change of the patch is meant, write the new hash into the recipe",
                location=self.locate("packages", package.name, f"patches[{index}].sha256"),
            )
        return path

    def data(self, file: str, location: Location | None = None) -> tuple[Path, str]:
        """Give the place and sha256 of a file below `recipes/` that a recipe names."""
        path = self.root / "recipes" / file
        try:
            return path, hashlib.sha256(path.read_bytes()).hexdigest()
        except OSError:
            raise InvalidRecipe(f"there is no file `recipes/{file}`", location=location) from None

    def _has(self, kind: str, name: str) -> bool:
        """Say whether there is a recipe, without listing all of them: each layer of hundreds asks."""
        return (self.root / "recipes" / kind / f"{name}.toml").is_file()

    def _read(self, kind: str, name: str, cls: type[T], table: str) -> T:
        kept = self._kept.get((kind, name))
        if kept is None:
            kept = self._kept[kind, name] = self._load(kind, name, cls, table)
        record: T = kept
        return record

    def _load(self, kind: str, name: str, cls: type[T], table: str) -> T:
        shown = self.recipe_file(kind, name)
        path = self.root / shown
        if not path.is_file():
            near = difflib.get_close_matches(name, self.names(kind), n=1)
            raise UsageError(
                f"there is no {table} `{name}` ({shown})",
                hint=f"did you mean `{near[0]}`?"
                if near
                else f"known: {', '.join(self.names(kind)) or 'none'}",
            )
        document = self._document(kind, name, table, ())
        places: dict[str, Path] = {}
        for suffix in PINS.get(kind, ()):
            pins = path.with_name(f"{name}{suffix}.toml")
            if pins.is_file():
                table_of_pins = read_table(pins, f"recipes/{kind}/{pins.name}")
                document |= table_of_pins
                places |= dict.fromkeys(table_of_pins, pins)
        try:
            record = read_record(cls, document, path, shown)
        except InvalidRecipe as error:
            dotted = error.location.path if error.location is not None else ""
            wrong = places.get(re.split(r"[.\[]", dotted, maxsplit=1)[0])
            if wrong is not None:
                error.location = locate(wrong, f"recipes/{kind}/{wrong.name}", dotted)
            raise
        if record.name != name:
            raise InvalidRecipe(
                f"the file is called `{name}.toml` and says `name = {record.name!r}`",
                location=locate(path, shown, f"{table}.name"),
            )
        return record

    def _document(self, kind: str, name: str, table: str, seen: tuple[str, ...]) -> dict[str, Any]:
        """Read a document and lay it over the one that it is based on."""
        shown = self.recipe_file(kind, name)
        document = read_table(self.root / shown, shown)
        about = document.get(table)
        base = about.get("base") if isinstance(about, Mapping) else None
        if base is None or kind == "environments":
            return document
        if not isinstance(base, str) or base in (*seen, name) or base not in self.names(kind):
            problem = "is based on itself" if base in (*seen, name) else f"names an unknown {table}"
            raise InvalidRecipe(
                f"`base = {base!r}` {problem}", location=locate(self.root / shown, shown, f"{table}.base")
            )
        return _over(self._document(kind, base, table, (*seen, name)), document)


def _over(base: Mapping[str, Any], change: Mapping[str, Any]) -> dict[str, Any]:
    """Lay one document over another: tables key by key, everything else whole."""
    made = dict(base)
    for name, value in change.items():
        below = made.get(name)
        made[name] = (
            _over(below, value) if isinstance(below, Mapping) and isinstance(value, Mapping) else value
        )
    return made
