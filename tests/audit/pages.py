"""The page of the small repository, with what a hostile recipe or layer would like to put on it."""

from __future__ import annotations

import os
import shutil
from html.parser import HTMLParser
from pathlib import Path

from layerlock.audit.page import render
from layerlock.store.local import LocalStore
from layerlock.ui.text import printable, size
from layerlock.workflows.auditing import Choice, audit_layers, page_facts
from layerlock.workflows.drawing import libraries
from tests.audit.conftest import TODAY, Shelf
from tests.required import without

ATTACK = "</script><script>window.hacked=1</script><img src=x onerror=window.hacked=1>"
"""What must never run, or even become an element."""
TREE = {
    "python/lib/python3.11/site-packages/hello/core.py": "x" * 60_000,
    "python/lib/python3.11/site-packages/hello/deep/a/b.py": "x" * 30_000,
    "python/lib/python3.11/site-packages/hello/deep/a/c.py": "x" * 20_000,
    "python/lib/python3.11/site-packages/hello-1.0.dist-info/METADATA": "x" * 500,
    "share/licenses/hello/COPYING": "x" * 4_000,
    f"share/{ATTACK.replace('/', '_')}": "x" * 9_000,
}
REPORT = {"rules": [{"name": "tests", "reason": ATTACK, "files": 3, "bytes": 12_345}]}


def built(shelf: Shelf, *, hostile: bool = False) -> Shelf:
    """Put a layer of a few files into the store, and hostile words into everything that a recipe states."""
    if hostile:
        # TOML's literal strings take anything but a quote.
        shelf.edit("recipes/layers/demo.toml", '"A layer that says hello"', f"'{ATTACK}'")
        skip = f"[[layer.audit.skip]]\ncheck = \"plain-http\"\nreason = '{ATTACK}'\n\n[[prune]]"
        shelf.edit("recipes/layers/demo.toml", "[[prune]]", skip)
        shelf.edit(
            "recipes/packages/hello.toml",
            '"https://example.org/',
            "'http://example.org/\"onclick=window.hacked=1 ",
        )
        shelf.edit("recipes/packages/hello.toml", '.tar.gz"', ".tar.gz'")
        homepage = f"homepage = \"javascript:window.hacked=1\"\nsummary = '{ATTACK}'\npurl"
        shelf.edit("recipes/packages/hello.toml", "purl", homepage)
        shelf.edit("recipes/licences.toml", '"MIT", ', "")
        exception = f'[[exceptions]]\npackage = "hello"\nlicence = "MIT"\nreason = \'{ATTACK}\'\n'
        shelf.write("recipes/licences.toml", (shelf.root / "recipes/licences.toml").read_text() + exception)
    shelf.build(TREE, TREE, REPORT)
    return shelf


def page(shelf: Shelf, libraries: tuple[str, ...] = ()) -> str:
    """Write the page, as the command does."""
    choice = Choice(today=TODAY)
    audited = audit_layers(shelf.driver(), ("demo",), choice)
    return render(page_facts(audited, choice), size=size, harmless=printable, libraries=libraries)


def drawn(store: LocalStore) -> tuple[str, ...]:
    """Fetch what draws charts; skip the test where there is no npm."""
    if shutil.which("npm") is None:
        without("npm", "npm is not installed")
    return libraries(store, dict(os.environ))


class Parsed(HTMLParser):
    """What a page is made of: elements with attributes, texts of scripts and styles, rows of tables by their id."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self.styles: list[str] = []
        self.rows: dict[str, list[list[str]]] = {}
        self._table = ""
        self._cell: list[str] | None = None
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.elements.append((tag, given))
        if tag == "table":
            self._table = given.get("id") or ""
            self.rows.setdefault(self._table, [])
        elif tag == "tr":
            self.rows[self._table].append([])
        elif tag in ("td", "th"):
            self._cell = []
        elif tag in ("script", "style"):
            (self.scripts if tag == "script" else self.styles).append("")

    def handle_endtag(self, tag: str) -> None:
        if tag in ("td", "th") and self._cell is not None:
            self.rows[self._table][-1].append(" ".join("".join(self._cell).split()))
            self._cell = None

    def handle_data(self, data: str) -> None:
        if self.cdata_elem in ("script", "style"):
            (self.scripts if self.cdata_elem == "script" else self.styles)[-1] += data
        elif self._cell is not None:
            self._cell.append(data)


def write(folder: Path, text: str) -> str:
    """Write a page into a folder, and give its address."""
    path = folder / "demo.html"
    path.write_text(text, encoding="utf-8")
    return path.as_uri()
