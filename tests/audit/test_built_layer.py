"""A real layer of C, C++ and Fortran, built, recorded, then asked about, changed and asked about again."""

from __future__ import annotations

import datetime
import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from layerlock.model.findings import Severity
from layerlock.workflows.auditing import Choice, audit_layers, audit_zip
from layerlock.workflows.building import record_layer
from layerlock.workflows.built import LayerBuilt
from layerlock.workflows.locking import lock_layer
from tests.build.conftest import Bench, bench, workbench

from .layers import pack

__all__ = ["bench", "workbench"]
pytestmark = pytest.mark.sandbox

SITE = "python/lib/python3.9/site-packages/tiny"
CHOICE = Choice(only=frozenset({"contents", "objects"}), today=datetime.date(2026, 11, 21))


@dataclass(frozen=True, kw_only=True)
class Built:
    """The layer `tiny` in a repository of its own."""

    bench: Bench
    zip: LayerBuilt

    def said(self, *arguments: str, status: int = 0) -> str:
        """Run the command; give what it wrote, or of a failure the error."""
        done = subprocess.run(
            [sys.executable, "-m", "layerlock", "--store", str(self.bench.store), *arguments],
            cwd=self.bench.folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == status, done.stderr
        return done.stderr if status else done.stdout

    def told(self, *arguments: str) -> dict[str, Any]:
        """Run the command for its JSON."""
        (row,) = (
            row
            for row in map(json.loads, self.said("--json", *arguments).splitlines())
            if row["event"] == "Result"
        )
        result: dict[str, Any] = row
        return result

    def changed(self, change: Callable[[dict[str, tuple[int, bytes]]], object]) -> Path:
        """Write the layer's zip with changed entries to a file that no lock knows."""
        with zipfile.ZipFile(self.zip.path) as archive:
            held = {
                info.filename: (info.external_attr >> 16, archive.read(info)) for info in archive.infolist()
            }
        change(held)
        return pack(self.bench.folder / "changed.zip", held)


@pytest.fixture
def tiny(bench: Bench, tmp_path: Path) -> Built:
    """Lock, build and record the layer; of its builds only the first one of the session takes long."""
    lock_layer(bench.driver(), "tiny")
    return Built(bench=bench, zip=record_layer(bench.driver(), "tiny", tmp_path / "dist"))


def _findings(tiny: Built, *, choice: Choice = CHOICE) -> list[tuple[str, Severity, str]]:
    audited = audit_layers(tiny.bench.driver(), ("tiny",), choice)
    return [(t.finding.check, t.finding.severity, t.finding.subject) for t in audited.told]


def test_a_layer_as_it_is_built_has_notes_only(tiny: Built) -> None:
    """Lazy binding and unguarded stacks are noted once a package.

    Every symbol is met, every file owned, and all bytecode of a real 3.9 fits.
    """
    found = _findings(tiny)
    assert {row[:2] for row in found} <= {("relro", Severity.NOTE), ("stack-protector", Severity.NOTE)}
    assert {row[2] for row in found} <= {"gcc-runtime", "tiny-c", "tiny-cpp", "tiny-fortran"}
    as_zip = audit_zip(tiny.bench.driver(), tiny.zip.path, CHOICE)
    assert {told.finding.subject for told in as_zip.told} == {row[2] for row in found}


def test_a_zip_that_was_changed_is_another_one(tiny: Built) -> None:
    """It is audited as from elsewhere: a changed module no longer fits its bytecode, a key is found."""

    def change(held: dict[str, tuple[int, bytes]]) -> None:
        mode, source = held[f"{SITE}/__init__.py"]
        held[f"{SITE}/__init__.py"] = (mode, source + b"TOKEN = 'ghp_" + b"aB3" * 12 + b"'\n")

    path = tiny.changed(change)
    found = {(t.finding.check, t.finding.subject) for t in audit_zip(tiny.bench.driver(), path, CHOICE).told}
    pyc = f"{SITE}/__pycache__/__init__.cpython-39.pyc"
    assert {("secrets", f"{SITE}/__init__.py"), ("stale-bytecode", pyc)} <= found
    assert "no RECORD" not in tiny.said("owner", str(path), f"{SITE}/__init__.py")
    assert "nothing in the zip tells" in tiny.said("owner", str(path), f"{SITE}/__init__.py")


def test_owner_names_package_derivation_and_what_was_done(tiny: Built) -> None:
    """By layer and by zip; of a library under a private name, of bytecode, of what is not there."""
    by_zip = tiny.told("owner", str(tiny.zip.path), "lib/libtiny.so.1")
    assert by_zip["files"] == tiny.told("owner", "tiny", "/opt/lib/libtiny.so.1")["files"]
    (row,) = by_zip["files"]
    assert (row["package"], row["version"], row["how"]) == ("tiny-c", "1.0", "edited")
    assert row["recipe"] == "recipes/packages/tiny-c.toml"
    assert [source["key"] for source in row["sources"]] == ["tiny-c/tiny-c"]
    assert Path(row["derivation"]["path"], "lib/libtiny.so.1").is_file()
    (private,) = tiny.told("owner", "tiny", "lib/ll-stdc++.so.6")["files"]
    assert (private["package"], private["original"]) == ("gcc-runtime", "lib/libstdc++.so.6")
    text = tiny.said("owner", "tiny", f"{SITE}/__pycache__/__init__.cpython-39.pyc")
    assert f"compiled from {SITE}/__init__.py" in text
    rows = tiny.told("owner", "tiny")["files"]
    assert len(rows) == len(zipfile.ZipFile(tiny.zip.path).namelist())
    assert all(row["package"] for row in rows)
    assert "tiny-fortran" in tiny.said("owner", "tiny", "lib/*")
    assert "did you mean `lib/libtiny.so.1`?" in tiny.said("owner", "tiny", "lib/libtony.so.1", status=2)


def test_why_follows_libraries_and_recipes(tiny: Built) -> None:
    """Who needs it, who brought it, and the line that lists that."""
    text = tiny.said("why", "tiny", "libgfortran.so.5")
    assert "lib/libgfortran.so.5 comes from the package gcc-runtime" in text
    assert "the layer tiny names the package gcc-runtime (packages, recipes/layers/tiny.toml:6)" in text
    assert "lib/libtinyfortran.so.1 (tiny-fortran)" in text
    (quadmath,) = tiny.told("why", "tiny", "libquadmath.so.0")["files"]
    assert {"path": "lib/libgfortran.so.5", "package": "gcc-runtime"} in quadmath["users"]
    assert ["lib/libtinyfortran.so.1", "lib/libgfortran.so.5", "lib/libquadmath.so.0"] in quadmath["chains"]
    assert "ll-stdc++.so.6" in tiny.said("why", "tiny", "libstdc++.so.6")
    assert "libm.so.6 is the runtime's own" in tiny.said("why", "tiny", "libm.so.6")
    (package,) = (row for row in tiny.told("why", "tiny", "tiny-c")["recipes"] if row["kind"] == "package")
    assert package["also"] == {"package": ["tiny-cpp"]}
    (deb, *_) = tiny.told("why", "tiny", "libc6")["recipes"]
    assert [step["of"]["kind"] for step in deb["chain"]] == ["environment", "Debian package"]
    assert "did you mean `libtiny.so.1`?" in tiny.said("why", "tiny", "libtony.so.1", status=2)


def test_size_adds_up_and_compares(tiny: Built) -> None:
    """Every grouping has the same sum; a past revision is told apart package by package."""
    with zipfile.ZipFile(tiny.zip.path) as archive:
        sums = sum(i.file_size for i in archive.infolist()), sum(i.compress_size for i in archive.infolist())
    for by in ("package", "kind", "file"):
        told = tiny.told("size", "tiny", "--by", by)
        assert (sum(row["bytes"] for row in told["rows"]), sum(row["packed"] for row in told["rows"])) == sums
        assert all(row["name"] != "(no package)" for row in told["rows"])
    rules = {row["rule"]: row for row in told["saved"]}
    assert rules["headers"]["files"] == 1
    assert rules["tests"]["bytes"] > 20
    assert "262.1 MB that Lambda allows" in tiny.said("size", "tiny")
    assert "nothing weighs more or less" in tiny.said("size", "tiny", "--against", str(tiny.zip.path))

    _commit(tiny.bench.folder)
    grow = "    return fortran.tiny_sum(len(values), (ctypes.c_double * len(values))(*values))\n"
    tiny.bench.edit(
        "recipes/packages/tiny-module.toml", lambda text: text.replace(grow, grow + "\n\nMORE = 1\n")
    )
    lock_layer(tiny.bench.driver(), "tiny")
    record_layer(tiny.bench.driver(), "tiny", tiny.bench.folder / "dist")
    told = tiny.told("size", "tiny", "--against", "tiny@HEAD")
    assert [row["name"] for row in told["growth"]] == ["tiny-module"]
    assert told["growth"][0]["bytes"] >= len("\n\nMORE = 1\n")
    (file, *_) = tiny.told("size", "tiny", "--by", "file", "--against", str(tiny.zip.path))["growth"]
    assert file["name"].startswith(SITE)
    assert "+" in tiny.said("size", "tiny", "--against", "tiny@HEAD")


def test_a_layer_that_is_not_built_is_an_error_of_its_own(tiny: Built) -> None:
    """What recipes tell is told all the same, and the graph of derivations needs no build."""
    tiny.bench.edit(
        "recipes/packages/tiny-module.toml", lambda text: text.replace("import ctypes", "import ctypes  #")
    )
    lock_layer(tiny.bench.driver(), "tiny")
    for arguments in (("size", "tiny"), ("owner", "tiny"), ("why", "tiny", "libtiny.so.1")):
        assert "not built here" in tiny.said(*arguments, status=31)
    assert "the package tiny-c" in tiny.said("why", "tiny", "tiny-c")
    assert '"layer-tiny-tree" -> "tiny-module";' in tiny.said("graph", "tiny")
    assert "there is no zip" in tiny.said("owner", "gone.zip", status=2)


def test_graphs_are_what_programs_read(tiny: Built) -> None:
    """DOT of libraries and of derivations, and Mermaid, with one vertex for what is named by several."""
    dot = tiny.said("graph", "tiny", "--of", "libraries")
    assert '"tiny-cpp" -> "lib/libtiny.so.1";' in dot
    assert dot.startswith('digraph "tiny" {\n')
    assert dot.endswith("}\n")
    mermaid = tiny.said("graph", "tiny", "--format", "mermaid")
    assert mermaid.startswith("flowchart LR\n")
    plan = tiny.told("graph", "tiny")
    assert mermaid.count(" -->") == len(plan["edges"])
    assert {edge["end"] for edge in plan["edges"]} <= {vertex["name"] for vertex in plan["vertices"]}


def _commit(folder: Path) -> None:
    identity = ("-c", "user.name=T", "-c", "user.email=t@example.invalid")
    variables = {**os.environ, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
    for arguments in (("init", "-q"), ("add", "-A"), (*identity, "commit", "-q", "-m", "before")):
        subprocess.run(["git", *arguments], cwd=folder, check=True, env=variables, timeout=60)
