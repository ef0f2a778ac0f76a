"""The audit's page as text: the same for the same facts, complete without its script, and harmless."""

from __future__ import annotations

import base64
import hashlib
import os
import re
from importlib.resources import files
from pathlib import Path

import pytest

from layerlock.audit.page import CHARTS, SCRIPTS, STYLE
from layerlock.errors import FetchError, HashMismatch, StaleLock, StoreError, UsageError
from layerlock.store.local import LocalStore
from layerlock.workflows import drawing
from layerlock.workflows.auditing import Choice, audit_layers, page_facts
from layerlock.workflows.drawing import libraries
from tests.audit.conftest import DEB, SOURCE, TODAY, Shelf, sha256
from tests.audit.pages import ATTACK, TREE, Parsed, built, drawn, page


def data(name: str) -> bytes:
    """Read a file of the driver's data."""
    return files("layerlock").joinpath("data/page", name).read_bytes()


def test_the_same_facts_give_the_same_page_wherever_they_stand(tmp_path: Path) -> None:
    made = [page(built(Shelf(tmp_path / name))) for name in ("here", "elsewhere")]
    assert made[0] == made[1]
    assert str(tmp_path) not in made[0]
    assert not re.search(
        r"\b\d\d:\d\d:\d\d\b", re.sub(r"<(script|style)>.*?</\1>", "", made[0], flags=re.DOTALL)
    )


def test_tables_hold_what_charts_show(shelf: Shelf) -> None:
    found = Parsed(page(built(shelf)))
    rows = {row[0]: row[1:] for row in found.rows["files"][1:]}
    assert {name: int(row[3]) for name, row in rows.items()} == {
        name: len(text) for name, text in TREE.items()
    }
    # A test's zip stores its files as they are.
    assert all(row[3] == row[4] and row[2] == "as built" for row in rows.values())
    assert rows["share/licenses/hello/COPYING"][:2] == ["hello", "licences"]
    derivations = {row[0]: row[1:] for row in found.rows["derivations"][1:]}
    assert derivations["hello"] == ["1.0", "ships", "environment-root root, python /var/lang"]
    assert derivations["layer-demo-zip"][1] == "the layer"
    attributes = [given for tag, given in found.elements if tag == "tr" and "data-name" in given]
    assert [given["data-name"] for given in attributes] == list(derivations)


def test_sources_licences_and_outputs_are_told(shelf: Shelf) -> None:
    text = page(built(shelf))
    found = Parsed(text)
    sources = {row[0]: row[1:] for row in found.rows["source-rows"][1:]}
    assert sources["hello/hello"][0] == "https://example.org/hello-1.0.tar.gz"
    assert sources["hello/hello"][2] == f"sha256 {sha256(SOURCE)}"
    assert sources["root/bash"] == ["debian:debian/pool/main/b/bash/bash.deb", "4 B", f"sha256 {sha256(DEB)}"]
    assert sources["python/python folder of the repository"][2].startswith("tree sha256-")
    other = {row[0]: row[1:] for row in found.rows[""] if row}
    assert other["patches/hello/0001-greet-everyone.patch"][0] == "hello"
    assert other["hello"][:2] == ["recorded", "the recorded output"]
    assert other["python"][:2] == ["recorded", "nothing"]
    assert '<span class="good">the recorded one</span>' in text
    lock = hashlib.sha256((shelf.root / "lockfiles/demo.lock").read_bytes()).hexdigest()
    assert f'echo "{lock}  lockfiles/demo.lock" | sha256sum --check' in text
    assert "layerlock build demo" in text and "./nox" not in text
    shelf.write("noxfile.py", "")
    assert "./nox -s layer-demo" in page(shelf)


def test_what_recipes_say_of_vulnerabilities_is_told_once(shelf: Shelf) -> None:
    assert "What recipes say" not in page(built(shelf))
    said = """[[vulnerabilities]]
status = "not-affected"
ids = ["CVE-2099-1", "CVE-2099-2"]
justification = "code_not_present"
reason = "It is switched off."

[[vulnerabilities]]
status = "patched"
ids = ["CVE-2099-3"]
patch = "hello/0001-greet-everyone.patch"

[build]
"""
    shelf.edit("recipes/packages/hello.toml", "[build]\n", said)
    text = " ".join(re.sub("<[^>]+>", "", page(shelf)).split())
    assert (
        text.count("hello: CVE-2099-1, CVE-2099-2, not affected (code not present). It is switched off.") == 1
    )
    assert "hello: CVE-2099-3, mended by patches/hello/0001-greet-everyone.patch." in text
    assert "patches/hello/0001-greet-everyone.patch mends CVE-2099-3" in text


def test_a_layer_that_is_not_built_has_a_page_without_sizes(locked: Shelf) -> None:
    text = page(locked)
    assert 'id="sizes"' not in text and 'id="files"' not in text
    assert "the layer&#39;s files, since it is not built here" in text
    assert "0 of 5" in text  # outputs that are recorded; smoke tests leave nothing to record


def test_a_changed_recipe_is_no_recorded_one(shelf: Shelf) -> None:
    built(shelf).edit("recipes/packages/hello.toml", '"-Os"', '"-O2"')
    found = Parsed(page(shelf))
    other = {row[0]: row[1:] for row in found.rows[""] if row}
    assert other["hello"][:2] == ["of other inputs", "nothing"]


def test_words_of_recipes_and_layers_stay_words(shelf: Shelf) -> None:
    text = page(built(shelf, hostile=True))
    found = Parsed(text)
    assert len(found.scripts) == len(SCRIPTS) and "hacked" not in "".join(found.scripts)
    assert not [
        tag for tag, _ in found.elements if tag in ("img", "iframe", "object", "link", "base", "form")
    ]
    assert not [given for _, given in found.elements for name in given if name.startswith("on")]
    addresses = {given["href"] for tag, given in found.elements if tag == "a" and given.get("href")}
    assert all(address and address.startswith(("#", "http://example.org/")) for address in addresses)
    # It was tried in each place: summary, skip, exception, prune rule, path of a file.
    escaped = ATTACK.replace("<", "&lt;").replace(">", "&gt;")
    assert text.count(escaped) >= 4 and text.count("img src=x") >= 5
    assert ATTACK not in text


def test_the_policy_lets_only_the_page_itself_run_and_loads_nothing(shelf: Shelf) -> None:
    found = Parsed(page(built(shelf)))
    (policy,) = [given["content"] for tag, given in found.elements if given.get("http-equiv")]
    rules = dict(rule.split(" ", 1) for rule in (policy or "").split("; "))
    for texts, rule in ((found.scripts, "script-src"), (found.styles, "style-src")):
        hashes = [base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in texts]
        assert rules[rule].split() == [f"'sha256-{each}'" for each in hashes]
    assert rules["default-src"] == "'none'" and "unsafe" not in (policy or "")
    loading = ("src", "srcset", "data", "background", "action", "poster", "style")
    assert not [given for _, given in found.elements for name in loading if name in given]


@pytest.mark.parametrize("name", [*CHARTS, STYLE])
def test_scripts_cannot_end_their_own_element(name: str) -> None:
    # Nor may they begin a comment, behind which `<script` is read in another way, or hold returns, which are dropped.
    assert not re.search(r"</(script|style)|<!--|\r", data(name).decode(), re.IGNORECASE)


def luminance(colour: str) -> float:
    """Give the relative luminance of `#rrggbb` (WCAG 2.2)."""
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


@pytest.mark.parametrize("dark", [False, True])
def test_texts_in_charts_have_contrast(dark: bool) -> None:
    found = re.findall(r"--(\w+): light-dark\((#\w{6}), (#\w{6})\);", data(STYLE).decode())
    colours = {name: luminance(pair[dark]) for name, *pair in found}
    pairs = [("text", name) for name in colours if re.fullmatch(r"[pq]\d", name)]
    assert len(pairs) == 16
    for one, other in (*pairs, ("page", "accent"), ("text", "panel"), ("text", "sunk")):
        light, deep = sorted((colours[one], colours[other]), reverse=True)
        assert (light + 0.05) / (deep + 0.05) >= 4.5, (one, other)


def test_libraries_are_fetched_once_held_to_their_hash_and_cannot_end_their_element(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = drawn(LocalStore(tmp_path / "store"))
    again = libraries(LocalStore(tmp_path / "store"), {"PATH": "/nowhere"})
    assert again == texts and "echarts" in texts[0] and "dagre" in texts[1]
    assert not any(re.search(r"</(script|style)|<!--|\r", text, re.IGNORECASE) for text in texts)
    other = tmp_path / "libraries.toml"
    other.write_text(drawing.LIBRARIES.read_text().replace("b66b25ae", "00000000"))
    monkeypatch.setattr(drawing, "LIBRARIES", other)
    with pytest.raises(HashMismatch, match=r"echarts\.min\.js"):
        libraries(LocalStore(tmp_path / "another"), dict(os.environ))


def test_without_npm_there_are_tables_and_no_charts(shelf: Shelf, tmp_path: Path) -> None:
    with pytest.raises(FetchError, match="npm, which is not installed"):
        libraries(LocalStore(tmp_path / "store"), {"PATH": "/nowhere"})
    text = page(built(shelf))
    assert len(Parsed(text).scripts) == len(SCRIPTS) and Parsed(text).rows["files"]
    assert "Apache License" not in text


def test_their_licences_go_with_them(shelf: Shelf) -> None:
    text = page(built(shelf), ("let charts;",))
    for words in (
        "Apache License",
        "Copyright 2017-2026 The Apache Software Foundation",
        "Chris Pettitt",
        "d3.js",
    ):
        assert words in text


def test_a_patch_that_changed_or_a_zip_that_is_damaged(shelf: Shelf) -> None:
    built(shelf).write("patches/hello/0001-greet-everyone.patch", "")
    assert "patches/hello/0001-greet-everyone.patch has the sha256" in page(shelf)  # a finding like any other
    (place,) = shelf.store.glob("**/demo.zip")
    place.chmod(0o644)
    place.write_bytes(place.read_bytes()[:100])
    with pytest.raises(StoreError, match="the zip of demo in the store cannot be read"):
        page(shelf)


def test_a_layer_without_a_lock_has_no_page(shelf: Shelf) -> None:
    choice = Choice(today=TODAY)
    audited = audit_layers(shelf.driver(), ("demo",), choice)
    with pytest.raises(StaleLock, match="has no lock"):
        page_facts(audited, choice)


def test_a_page_is_of_one_layer_that_can_be_read(locked: Shelf) -> None:
    locked.write("recipes/layers/demo.toml", "[layer]\n")
    choice = Choice(today=TODAY)
    audited = audit_layers(locked.driver(), ("demo",), choice)
    with pytest.raises(UsageError, match="one layer that could be read"):
        page_facts(audited, choice)
