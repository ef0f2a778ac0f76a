"""Assembling a layer: collisions, pruning, bytecode, and the checks on a finished tree."""

from __future__ import annotations

import marshal
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

import elf
import pytest

from .conftest import Entry, Toolchain, write_tree

SITE = "python/lib/python3.11/site-packages"
ARCHITECTURE = "arm64" if platform.machine() == "aarch64" else "x86_64"


@pytest.fixture
def task(tmp_path: Path) -> dict[str, Any]:
    """A layer of two packages, without objects, judged as for this very Python."""
    one: dict[str, str | bytes] = {
        f"{SITE}/one/__init__.py": "x = 1\n",
        f"{SITE}/one/tests/test_x.py": "assert 1\n",
        "lib/a.txt": "a",
    }
    two: dict[str, str | bytes] = {
        f"{SITE}/two.py": "y = 2\n",
        f"{SITE}/two-1.dist-info/METADATA": "m",
        "lib/b.txt": "-> a.txt",
    }
    exports = tmp_path / "runtime.exports"
    exports.write_text("library libc.so.6\nunlisted\n")
    return {
        "layer": "demo",
        "architecture": ARCHITECTURE,
        "packages": [
            {"name": "one", "path": str(write_tree(tmp_path / "one", one))},
            {"name": "two", "path": str(write_tree(tmp_path / "two", two))},
        ],
        "runtime": {"name": "python3.11", "libraries_path": ["/lib64", "/opt/lib"], "exports": str(exports)},
        "python": {"version": "3.11", "executable": sys.executable},
    }


def _add(task: dict[str, Any], files: dict[str, str | bytes], package: int = 0) -> None:
    write_tree(Path(task["packages"][package]["path"]), files)


def _names(out: Path) -> list[str]:
    return sorted(
        str(path.relative_to(out / "tree")) for path in (out / "tree").rglob("*") if not path.is_dir()
    )


def test_a_sound_layer(task: dict[str, Any], entry: Entry) -> None:
    _add(task, {f"{SITE}/one/__pycache__/__init__.cpython-311.pyc": "old"})
    task["prune"] = [{"name": "tests", "patterns": ["tests/"], "reason": "only for developers"}]
    ended = entry("assemble", task)
    assert _names(ended.out) == [
        "lib/a.txt",
        "lib/b.txt",
        f"{SITE}/one/__init__.py",
        f"{SITE}/two-1.dist-info/METADATA",
        f"{SITE}/two.py",
    ]
    assert (ended.out / "tree/lib/b.txt").is_symlink()
    assert ended.report["rules"] == [
        {"name": "tests", "reason": "only for developers", "files": 1, "bytes": len("assert 1\n")}
    ]
    assert ended.report["packages"] == [
        {"name": "one", "files": 2, "bytes": 7},
        {"name": "two", "files": 3 - 1, "bytes": 7},
    ]
    assert ended.report["unzipped"] == 14


def test_keep_wins_and_idle_rules_are_named(task: dict[str, Any], entry: Entry) -> None:
    task["prune"] = [
        {"name": "metadata", "patterns": ["*.dist-info"], "packages": ["two"]},
        {"name": "of one", "patterns": ["two.py"], "packages": ["one"]},
        {"name": "idle", "patterns": ["nothing/**"]},
    ]
    task["keep"] = ["**/*.dist-info/METADATA", "*.md"]
    ended = entry("assemble", task)
    assert f"{SITE}/two-1.dist-info/METADATA" in _names(ended.out)
    assert f"{SITE}/two.py" in _names(ended.out)
    assert ended.messages("prune") == [
        "the prune rule 'of one' selects nothing",
        "the prune rule 'idle' selects nothing",
    ]
    assert ended.messages("keep") == ["the keep pattern '*.md' selects nothing"]


def test_bytecode_is_the_same_every_time(task: dict[str, Any], entry: Entry) -> None:
    task["bytecode"] = "unchecked-hash"
    _add(task, {f"{SITE}/one/template.py": "{% not python %}\n"})
    first, second = entry("assemble", task), entry("assemble", {**task, "jobs": 2})
    compiled = [name for name in _names(first.out) if name.endswith(".pyc")]
    assert len(compiled) == 3
    for name in compiled:
        content = (first.out / "tree" / name).read_bytes()
        assert content == (second.out / "tree" / name).read_bytes()
        assert content[4:8] == b"\1\0\0\0"  # PEP 552: hash-based, and the hash is not checked
        assert b"/opt/python/" in content
        assert str(first.out).encode() not in content
    assert [row["file"] for row in first.report["findings"]] == [f"{SITE}/one/template.py"]
    assert first.report == second.report


def test_bytecode_in_the_place_of_sources(task: dict[str, Any], entry: Entry, tmp_path: Path) -> None:
    _add(
        task,
        {
            f"{SITE}/one/__init__.py": "from one import inner\nx = inner.y\n",
            f"{SITE}/one/inner.py": "y = 7\n",
            f"{SITE}/one/config-3.py": "read = 'by its path'\n",
            f"{SITE}/one/template.py": "{% not python %}\n",
            f"{SITE}/one/shown.py": "z = 1\n",
        },
    )
    sourceless = {"bytecode": "sourceless", "keep_sources": ["**/one/shown.py", "**/nowhere.py"]}
    ended = entry("sourceless", {**task, **sourceless, "prune": [{"name": "t", "patterns": ["tests/"]}]})
    tag = sys.implementation.cache_tag
    assert [name for name in _names(ended.out) if name.endswith((".py", ".pyc"))] == [
        f"{SITE}/one/__init__.pyc",
        f"{SITE}/one/__pycache__/config-3.{tag}.pyc",
        f"{SITE}/one/__pycache__/shown.{tag}.pyc",
        f"{SITE}/one/config-3.py",
        f"{SITE}/one/inner.pyc",
        f"{SITE}/one/shown.py",
        f"{SITE}/one/template.py",
        f"{SITE}/two.pyc",
    ]
    weight = sum(
        p.stat().st_size for p in (ended.out / "tree").rglob("*") if p.is_file() and not p.is_symlink()
    )
    assert ended.report["unzipped"] == weight
    assert sum(row["bytes"] for row in ended.report["packages"]) == weight
    assert {row["name"] for row in ended.report["packages"]} == {"one", "two"}
    assert ended.messages("keep-sources") == ["the pattern '**/nowhere.py' of `keep_sources` selects nothing"]
    program = "import one, two; print(one.x, two.y, one.__file__)"
    said = subprocess.run(
        [sys.executable, "-c", program],
        env={"PYTHONPATH": str(ended.out / "tree" / SITE)},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert said.startswith("7 2 ") and said.endswith("/one/__init__.pyc\n")
    again = entry("sourceless", {**task, **sourceless, "prune": [{"name": "t", "patterns": ["tests/"]}]})
    assert again.report == ended.report
    wrong = entry("sourceless", {**task, "keep_sources": ["../x"]})
    assert wrong.error["kind"] == "usage"


def test_less_bytecode(task: dict[str, Any], entry: Entry) -> None:
    _add(task, {f"{SITE}/one/broken.py": "def fail():\n    return 1 + [].pop()\n"})
    task["bytecode"] = "unchecked-hash"
    whole = entry("assemble", task)
    lean = entry("assemble_lean", {**task, "columns": False, "no_bytecode": ["**/two.py", "**/gone/**"]})
    compiled = {name for name in _names(whole.out) if name.endswith(".pyc")}
    (left_out,) = compiled - set(_names(lean.out))
    assert left_out.startswith(f"{SITE}/__pycache__/two.")
    assert lean.messages("no-bytecode") == ["the pattern '**/gone/**' of no_bytecode selects no module"]
    (name,) = (name for name in compiled if "broken" in name)
    code = [
        marshal.loads((out / "tree" / name).read_bytes()[16:]).co_consts[0] for out in (whole.out, lean.out)
    ]
    columns = [{position[2] for position in each.co_positions()} for each in code]
    lines = [[position[0] for position in each.co_positions()] for each in code]
    assert columns[0] != {None}
    assert columns[1] == {None}
    assert lines[0] == lines[1]
    # Without a rule, and with columns, it is what assemble.py makes.
    same = entry("assemble_lean", {**task, "columns": True, "no_bytecode": []})
    assert same.report == whole.report
    assert all(
        (same.out / "tree" / n).read_bytes() == (whole.out / "tree" / n).read_bytes() for n in compiled
    )


@pytest.mark.parametrize(
    ("files", "kind", "why"),
    [
        ({"lib/A.txt": ""}, "check", "lib/A.txt and lib/a.txt differ only by upper and lower case"),
        ({"LIB/x.txt": ""}, "check", "differ only by upper and lower case"),
        ({f"{SITE}/two.py": ""}, "check", "one and two both bring"),
        ({f"{SITE}/two.py/x": ""}, "check", "is a file in one package and a folder in another"),
        ({f"{SITE}/x.pth": "import os"}, "check", "x.pth would run code whenever Python starts"),
        ({"python/x.pth": "import os"}, "check", "would run code"),
        ({"python/random.py": ""}, "check", "hides the standard library's random"),
        ({f"{SITE}/json/__init__.py": ""}, "check", "hides the standard library's json"),
        ({"lib/l": "-> /etc/passwd"}, "check", "lib/l is an absolute link: /etc/passwd"),
        ({"lib/l": "-> ../../x"}, "check", "lib/l is a link that leaves the layer"),
        ({"lib/l": "-> gone"}, "check", "lib/l is a link to nothing"),
        ({"lib/new\nline": ""}, "check", "is no printable name"),
        ({"lib/conf": "x=/build/numpy/x\n"}, "check", "lib/conf holds '/build/numpy/x' at byte 2"),
    ],
)
def test_planted_defects(
    task: dict[str, Any], entry: Entry, files: dict[str, str | bytes], kind: str, why: str
) -> None:
    _add(task, files)
    ended = entry("assemble", {**task, "forbidden_strings": ["/build/"]})
    assert ended.error["kind"] == kind
    assert any(why in message for message in ended.messages()), ended.messages()


def test_what_only_looks_like_a_defect(task: dict[str, Any], entry: Entry) -> None:
    _add(
        task,
        {
            f"{SITE}/one/random.py": "",
            f"{SITE}/one/x.pth": "",
            "lib/conf": "see lib/build/x and ~/build/y",
            "lib/known": "/build/debian/x",
            "python/json-1.0.dist-info/METADATA": "",
        },
    )
    ended = entry("assemble", {**task, "forbidden_strings": ["/build/"], "forbidden_except": ["lib/known"]})
    assert ended.report["findings"] == []


def test_build_paths_in_bytecode(task: dict[str, Any], entry: Entry) -> None:
    _add(task, {f"{SITE}/one/c.py": "path = '/build/' 'one'\n"})
    ended = entry("assemble", {**task, "bytecode": "unchecked-hash", "forbidden_strings": ["/build/o"]})
    assert [row["file"] for row in ended.report["findings"]] == [
        f"{SITE}/one/__pycache__/c.cpython-{sys.version_info[0]}{sys.version_info[1]}.pyc"
    ]


def test_the_order_of_directories_does_not_matter(task: dict[str, Any], tmp_path: Path, entry: Entry) -> None:
    first = entry("assemble", task)
    backwards = {}
    for package in task["packages"]:
        root = Path(package["path"])
        for path in sorted(root.rglob("*"), reverse=True):
            if path.is_symlink() or path.is_file():
                link = path.is_symlink()
                backwards[f"{package['name']}/{path.relative_to(root)}"] = (
                    f"-> {path.readlink()}" if link else path.read_text()
                )
    write_tree(tmp_path / "again", dict(backwards))
    task["packages"] = [
        {"name": row["name"], "path": str(tmp_path / "again" / row["name"])} for row in task["packages"]
    ]
    second = entry("assemble", task)
    assert _names(first.out) == _names(second.out)
    assert first.report == second.report


@pytest.mark.sandbox
def test_objects_are_stripped_and_checked(task: dict[str, Any], toolchain: Toolchain, entry: Entry) -> None:
    library = toolchain.shared(
        "libq.so.1", "static int z; int q(void){return z;}", "-nostdlib", "-g", "-Wl,-soname,libq.so.1"
    )
    module = toolchain.shared("m.so", "int q(void); int f(void){return q();}", "-nostdlib", str(library))
    _add(
        task,
        {
            f"{SITE}/m.so": module.read_bytes(),
            "lib/libq.so.1.0": library.read_bytes(),
            "lib/libq.so.1": "-> libq.so.1.0",
        },
    )
    ended = entry("assemble", task)
    assert ended.report["findings"] == []
    assert (ended.out / "tree/lib/libq.so.1.0").stat().st_size < library.stat().st_size
    assert ended.report["libraries"][1]["needs"] == [{"name": "libq.so.1", "found": "/opt/lib/libq.so.1.0"}]

    private = entry("assemble", {**task, "private": ["libq.so.1"]})
    assert private.report["private"] == [{"from": "lib/libq.so.1", "to": "lib/ll-q.so.1"}]
    assert private.report["libraries"][1]["needs"] == [{"name": "ll-q.so.1", "found": "/opt/lib/libq.so.1.0"}]

    without = entry("assemble", {**task, "prune": [{"name": "q", "patterns": ["lib/libq*"]}]})
    assert without.error["kind"] == "abi"
    assert without.error["message"].startswith(f"{SITE}/m.so: libq.so.1: cannot open shared object file")


@pytest.mark.sandbox
def test_objects_are_laid_out_for_the_runtimes_pages(
    task: dict[str, Any], toolchain: Toolchain, entry: Entry
) -> None:
    wide = toolchain.shared("w.so", "int big[99] = {1};", "-nostdlib", "-g", "-Wl,-z,max-page-size=65536")
    _add(task, {f"{SITE}/w.so": wide.read_bytes(), f"{SITE}/w.txt": "no object"})
    for strip in (True, False):
        ended = entry("assemble_paged", {**task, "strip": strip, "max_page_size": 4096})
        assert ended.report["findings"] == []
        steps = ended.report["steps"]
        assert [step["name"] for step in steps] == ["collect and prune", *(["strip"] * strip), "pages"]
        assert steps[-1]["files"] == 1
        assert ended.report["unzipped"] == steps[-1]["bytes_after"] < steps[-1]["bytes_before"] - 40_000
        assert elf.read(ended.out / "tree" / SITE / "w.so").loads[-1].alignment == 4096


@pytest.mark.sandbox
def test_an_object_of_a_layer_beneath(
    task: dict[str, Any], toolchain: Toolchain, tmp_path: Path, entry: Entry
) -> None:
    library = toolchain.shared("libq.so.1", "int q(void){return 1;}", "-nostdlib", "-Wl,-soname,libq.so.1")
    module = toolchain.shared("m.so", "int q(void); int f(void){return q();}", "-nostdlib", str(library))
    _add(task, {f"{SITE}/m.so": module.read_bytes()})
    beneath = write_tree(tmp_path / "beneath", {"lib/libq.so.1": library.read_bytes()})
    ended = entry("assemble", {**task, "beneath": [{"name": "base", "path": str(beneath)}]})
    assert ended.report["findings"] == []
    assert "lib/libq.so.1" not in _names(ended.out)


def test_names_that_are_not_there(task: dict[str, Any], entry: Entry) -> None:
    assert "does not ship it" in entry("assemble", {**task, "private": ["libz.so.1"]}).error["message"]
    assert "is not in the layer" in entry("assemble", {**task, "lower": ["lib/no.so"]}).error["message"]
    bad = entry("assemble", {**task, "prune": [{"name": "x", "patterns": ["../x"]}]})
    assert bad.error["kind"] == "usage"
