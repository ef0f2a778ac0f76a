"""Layers over each other: what may stand side by side, what may not, and how much there may be."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from .conftest import Entry, Toolchain, write_tree

SITE = "python/lib/python3.9/site-packages"


@pytest.fixture
def task(tmp_path: Path) -> dict[str, Any]:
    """Two layers that share folders and nothing else."""
    lower: dict[str, str | bytes] = {
        f"{SITE}/torch/__init__.py": "x = 1\n",
        f"{SITE}/torch-1.13.1.dist-info/METADATA": "m",
        "lib/libone.so": "-> libone.so.1",
        "lib/libone.so.1": "one",
    }
    upper: dict[str, str | bytes] = {f"{SITE}/fastai/__init__.py": "y = 22\n", "lib/libtwo.so.1": "two"}
    return {
        "layers": [
            {"name": "torch", "path": str(write_tree(tmp_path / "torch", lower))},
            {"name": "fastai", "path": str(write_tree(tmp_path / "fastai", upper))},
        ],
        "limit": 262_144_000,
    }


def add(task: dict[str, Any], layer: int, files: dict[str, str | bytes]) -> None:
    """Put files into a layer."""
    write_tree(Path(task["layers"][layer]["path"]), files)


def test_layers_that_fit_together(task: dict[str, Any], entry: Entry) -> None:
    (Path(task["layers"][1]["path"]) / "lib/libtwo.so.1").chmod(0o755)
    ended = entry("merge", task)
    tree = ended.out / "tree"
    assert sorted(str(path.relative_to(tree)) for path in tree.rglob("*") if not path.is_dir()) == [
        "lib/libone.so",
        "lib/libone.so.1",
        "lib/libtwo.so.1",
        f"{SITE}/fastai/__init__.py",
        f"{SITE}/torch-1.13.1.dist-info/METADATA",
        f"{SITE}/torch/__init__.py",
    ]
    assert (tree / "lib/libone.so").readlink() == Path("libone.so.1")
    assert (tree / "lib/libtwo.so.1").stat().st_mode & 0o777 == 0o755
    assert ended.report["layers"] == [
        {"name": "torch", "files": 4, "unzipped": 10},
        {"name": "fastai", "files": 2, "unzipped": 10},
    ]
    assert ended.report["unzipped"] == 20
    assert ended.report["largest"][0] == {
        "layer": "fastai",
        "path": f"{SITE}/fastai/__init__.py",
        "bytes": 7,
    }


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({f"{SITE}/torch/__init__.py": "other"}, f"both hold {SITE}/torch/__init__.py"),
        ({"lib/libone.so": "-> libtwo.so.1"}, "both hold lib/libone.so"),
        ({f"{SITE}/Torch-2.0.dist-info/METADATA": "m"}, "both hold the distribution torch"),
        ({f"{SITE}/torch-2.0.egg-info": "m"}, "both hold the distribution torch"),
        (
            {"lib/libone.so.1/x": ""},
            "lib/libone.so.1 is a file in one of the layers torch and fastai, a folder",
        ),
    ],
)
def test_what_both_hold_is_refused(
    task: dict[str, Any], entry: Entry, files: dict[str, str | bytes], message: str
) -> None:
    add(task, 1, files)
    ended = entry("merge", task)
    assert ended.status == 1
    assert ended.error["kind"] == "overlap"
    assert message in ended.error["message"]
    assert not (ended.out / "tree").exists()


def test_everything_that_both_hold_is_told(task: dict[str, Any], entry: Entry) -> None:
    add(task, 1, {f"{SITE}/torch/__init__.py": "other", "lib/libone.so.1": "other"})
    ended = entry("merge", task)
    assert ended.messages("overlap") == [
        "the layers torch and fastai both hold lib/libone.so.1",
        f"the layers torch and fastai both hold {SITE}/torch/__init__.py",
    ]


@pytest.mark.sandbox
def test_a_library_of_one_name_at_two_places_is_refused(
    task: dict[str, Any], entry: Entry, toolchain: Toolchain
) -> None:
    """Modules may share a soname: nothing needs them by it."""
    library = toolchain.shared("libgomp.so.1", "int one;", "-Wl,-soname,libgomp.so.1").read_bytes()
    module = toolchain.shared("_C.so", "int two;", "-Wl,-soname,_C.so").read_bytes()
    add(task, 0, {f"{SITE}/torch/_C.so": module})
    add(task, 1, {f"{SITE}/fastai/_C.so": module})
    assert entry("merge", task).status == 0
    add(task, 0, {f"{SITE}/torch/lib/libgomp-1.so": library})
    add(task, 1, {f"{SITE}/fastai.libs/libgomp-2.so": library})
    ended = entry("merge", task)
    assert ended.error["message"] == (
        "the layers torch and fastai both hold the library libgomp.so.1: "
        f"{SITE}/torch/lib/libgomp-1.so and {SITE}/fastai.libs/libgomp-2.so"
    )


def test_the_limit_is_that_of_all_together(task: dict[str, Any], entry: Entry) -> None:
    ended = entry("merge", {**task, "limit": 19})
    assert ended.error["kind"] == "budget"
    first, *rest = ended.error["message"].splitlines()
    assert first == "the layers have 0.0 MB unzipped together, over Lambda's limit of 0.0 MB"
    assert [line.split("MB", 1)[1].strip() for line in rest[:3]] == [
        "layer torch",
        "layer fastai",
        f"file {SITE}/fastai/__init__.py of fastai",
    ]
    assert entry("merge", {**task, "limit": 20}).status == 0
