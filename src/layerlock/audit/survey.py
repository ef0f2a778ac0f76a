"""What checks of a layer's contents look at, read once: the inventory, the runtime around it, and who owns what."""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from layerlock.audit.elf import Elf
from layerlock.audit.loading import OPT, Loader, Platform
from layerlock.audit.owners import Owner, Shipped, owners_by_packages, owners_by_records
from layerlock.audit.reading import Inventory
from layerlock.errors import Location
from layerlock.layer.globs import selected


@dataclass(frozen=True, kw_only=True)
class Survey:
    """A layer that was read.

    Args:
        name: of the layer, or of the zip.
        inventory: what it holds.
        platform: the runtime that it is for, where that is known.
        interpreter: the runtime's Python, where it is built here.
        python: the version `X.Y` that bytecode must be for; empty where that is not known.
        packages: what it was made of; empty for a zip from elsewhere.
        report: what its assembly said; empty likewise.
        build_paths: patterns of files that may hold folders of the build.
        root: where the runtime unpacks it.
        beneath: what the layers hold that it is used with, and that are built here; in Lambda's order.
        raised: the folders of packages whose files came to the top of it, as they do in a function.
    """

    name: str
    inventory: Inventory
    platform: Platform | None = None
    interpreter: Elf | None = field(default=None, repr=False)
    python: str = ""
    packages: tuple[Shipped, ...] = ()
    report: Mapping[str, Any] = field(default_factory=dict, repr=False)
    build_paths: tuple[str, ...] = ()
    root: str = OPT
    beneath: tuple[Inventory, ...] = ()
    raised: tuple[str, ...] = ()

    @cached_property
    def loader(self) -> Loader | None:
        """How its objects find each other on the runtime."""
        if self.platform is None:
            return None
        objects: dict[str, Elf] = {}
        names: dict[str, str] = {}
        for below in self.beneath:
            objects |= {self._at_opt(path): elf for path, elf in below.objects.items()}
            names |= {self._at_opt(path): self._at_opt(target) for path, target in below.names.items()}
        return Loader(
            objects=self.inventory.objects,
            names={**names, **self.inventory.names},
            platform=self.platform,
            beneath=objects,
            interpreter=self.interpreter,
            root=self.root,
        )

    @cached_property
    def owners(self) -> Mapping[str, Owner]:
        """Where each file comes from; what nothing tells of is absent."""
        if self.packages:
            return owners_by_packages(self.inventory, self.packages, self.report, self.raised)
        return owners_by_records(self.inventory)

    def _at_opt(self, path: str) -> str:
        return posixpath.relpath(f"{OPT}/{path}", self.root)

    def unpacked(self, path: str) -> str:
        """Give the place of what assembly reports under `path`."""
        folder = next((each for each in self.raised if path.startswith(f"{each}/")), None)
        return path if folder is None else path.removeprefix(f"{folder}/")

    def inside(self, path: str) -> str:
        """Give a path as it is below the root; what does not begin with it stays as it is."""
        return path.removeprefix(f"{self.root}/")

    def package(self, path: str) -> str:
        """Name the package of a file; empty where that is not known."""
        owner = self.owners.get(path)
        return owner.package if owner is not None else ""

    def place(self, path: str) -> Location:
        """Give where to mend a file: its package's recipe, or else the file itself."""
        owner = self.owners.get(path)
        if owner is not None and owner.shipped is not None:
            return owner.shipped.location
        return Location(file=self.name, path=path)

    def may_name_build(self, path: str) -> bool:
        """Whether the layer's recipe lets a file hold folders of the build; its bytecode may then too."""
        compiled = self.inventory.bytecode.get(path)
        return selected(compiled.source if compiled is not None else path, self.build_paths)


Surveying = Callable[[], Survey]
"""What makes a survey when it is first asked for, and then keeps it."""
