"""Images: an environment's tree, and bubblewrap with a shell beside it, imported once and then found by name.

An image is named by the hash of the tree, so that any store's tree of that hash is served by it. The tree is hashed
before it is sent: an image outlives a damaged store, and must not carry the damage to another one.
"""

from __future__ import annotations

import re
import threading
from dataclasses import dataclass, field
from pathlib import Path

from layerlock.errors import StoreError
from layerlock.io.nar import nar_sha256
from layerlock.model.digest import digest, unsri
from layerlock.sandbox.docker import Engine
from layerlock.sandbox.engine.layout import PROGRAM, ROOT
from layerlock.sandbox.engine.trees import Sent, packed
from layerlock.sandbox.program import Pin

_FORMAT = 1
_IN_STORE = re.compile(r"([0-9a-f]{64})-")


@dataclass(slots=True)
class Images:
    """The images on one engine. `folder` holds the unpacked packages of `pin`, the program's and the shell's."""

    engine: Engine
    pin: Pin
    folder: Path
    _known: dict[tuple[Path, tuple[int, int]], str] = field(default_factory=dict)
    _importing: threading.Lock = field(default_factory=threading.Lock)

    @property
    def program(self) -> tuple[str, ...]:
        """How bubblewrap is started in a container."""
        return self.pin.started(self.pin.program, PROGRAM)

    @property
    def shell(self) -> tuple[str, ...]:
        """How the shell is started in a container."""
        return self.pin.started(self.pin.shell, PROGRAM)

    @property
    def loader(self) -> str:
        """The name of the processes of both, as the kernel cuts it off."""
        return Path(self.pin.loader).name[:15]

    def bare(self) -> str:
        """Give the image of the program alone, for trying out."""
        return self._image(None, (0, 0))

    def of(self, root: Path, owner: tuple[int, int]) -> str:
        """Give the image of a root, whose files belong to `owner`: the sandbox's user, as under the other backend.

        Raises:
            StoreError: a tree of the store is not what its name says.
            SandboxUnavailable: the engine refuses the image.
        """
        return self._image(root, owner)

    def _image(self, root: Path | None, owner: tuple[int, int]) -> str:
        # One at a time: builds that start together want the same image.
        with self._importing:
            key = (root or Path(), owner)
            if key not in self._known:
                self._known[key] = self._ensured(root, owner)
            return self._known[key]

    def _ensured(self, root: Path | None, owner: tuple[int, int]) -> str:
        packages = [deb.sha256 for deb in (*self.pin.debs, *self.pin.shell_debs)]
        around = digest({"format": _FORMAT, "packages": packages, "owner": list(owner)})[:16]
        if root is None:
            tag = f"layerlock/program:{around}"
        else:
            named = _IN_STORE.match(root.name)
            tag = f"layerlock/environment:{named[1] if named else unsri(nar_sha256(root))}-{around}"
        if not self.engine.has_image(tag):
            if root is not None and _IN_STORE.match(root.name):
                _check(root)
            self.engine.import_image(tag, packed(self._contents(root), uid=owner[0], gid=owner[1]))
        return tag

    def _contents(self, root: Path | None) -> tuple[Sent, ...]:
        inner = str(PROGRAM.parent).strip("/")
        # bubblewrap begins by mounting over /tmp.
        folders = [Sent(place=place, folder=True, mode=0o755) for place in ("tmp", inner)]
        trees = [Sent(place=str(PROGRAM).strip("/"), source=self.folder)]
        if root is not None:
            trees.append(Sent(place=str(ROOT).strip("/"), source=root))
        return (*folders, *trees)


def _check(root: Path) -> None:
    named = root.name[:64]
    if unsri(nar_sha256(root)) != named:
        raise StoreError(f"{root} is damaged", hint="run: layerlock verify")
