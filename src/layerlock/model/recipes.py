"""What planning asks of a recipe folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePath
from typing import Protocol

from layerlock.errors import Location
from layerlock.model.derivation import GuestFile
from layerlock.model.layer import LayerRecipe
from layerlock.model.recipe import EnvironmentRecipe, PackageRecipe
from layerlock.model.runtime import RuntimeRecipe


class Recipes(Protocol):
    """Recipes by name, and the places of their keys for messages."""

    def package(self, name: str) -> PackageRecipe:
        """Give a package's recipe."""

    def environment(self, name: str) -> EnvironmentRecipe:
        """Give an environment's recipe."""

    def runtime(self, name: str) -> RuntimeRecipe:
        """Give a runtime."""

    def layer(self, name: str) -> LayerRecipe:
        """Give a layer's recipe."""

    def locate(self, kind: str, name: str, dotted: str) -> Location:
        """Give the place of a key in a recipe."""

    def data(self, file: str, location: Location | None = None) -> tuple[PurePath, str]:
        """Give the place and the sha256 of a file below `recipes/`."""


GuestCode = Mapping[str, tuple[GuestFile, ...]]
"""The guest files that each guest script uses, itself among them, by the script's name."""
