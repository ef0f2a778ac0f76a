"""LambdaVision's function as Lambda would load it, with the stub in the place of torch."""

from __future__ import annotations

import base64
import importlib
import io
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from PIL import Image

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "lambdavision"
MODULES = ("app", "classify", "images", "problems", "storage")


def png(width: int = 8, height: int = 6, kind: str = "PNG", mode: str = "RGB") -> bytes:
    """Make an image."""
    made = io.BytesIO()
    Image.new(mode, (width, height), 128).save(made, kind)
    return made.getvalue()


def text(data: bytes) -> str:
    """Write bytes in base64."""
    return base64.b64encode(data).decode()


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., ModuleType]]:
    """Load the function's module `app`; `load(stub=False)` with the classifier that needs torch."""

    # Bytecode beside the sources would be a part of them: the folders are hashed.
    monkeypatch.setattr(sys, "dont_write_bytecode", True)

    def function(*, stub: bool = True) -> ModuleType:
        monkeypatch.syspath_prepend(str(EXAMPLE / "function"))
        if stub:
            monkeypatch.syspath_prepend(str(EXAMPLE / "stub"))
        return importlib.import_module("app")

    yield function
    for name in MODULES:
        sys.modules.pop(name, None)


@pytest.fixture
def handler(load: Callable[..., ModuleType]) -> Callable[[Any], Any]:
    """Give the handler, without its second argument."""
    app = load()
    return lambda event: app.handler(event, None)
