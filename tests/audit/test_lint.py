"""Lint of scripts and recipes: each habit is planted in a script and named with its line."""

from __future__ import annotations

import datetime
from pathlib import Path

import pytest

from layerlock.audit.lint import imports_something, patch_problems
from layerlock.audit.scripts import without_comment
from layerlock.model.findings import Severity
from tests.audit.conftest import PATCH, Shelf, sha256

MAKE = 'make -j "$LAYERLOCK_JOBS" install DESTDIR=/out'


@pytest.mark.parametrize(
    ("check", "line"),
    [
        ("script-fetches", "curl -LO https://example.org/data"),
        ("script-fetches", "cd x && wget -q https://example.org/data"),
        ("script-fetches", "git -c a=b clone https://example.org/x"),
        ("script-fetches", "python3 -m pip install numpy"),
        ("script-fetches", "if true; then apt-get install gcc; fi"),
        ("script-fetches", "HOME=/x npm install"),
        ("script-fetches", "data=$(curl -s https://example.org)"),
        ("pipe-to-shell", "curl -s https://example.org/install | sh"),
        ("pipe-to-shell", "wget -O - https://example.org/install | sudo bash -s"),
        ("pipe-to-shell", "bash <(curl -s https://example.org/install)"),
        ("reads-processor", "grep -q avx2 /proc/cpuinfo"),
        ("reads-processor", "flags=$(lscpu)"),
        ("native-code", "gcc -O2 -march=native x.c"),
        ("native-code", "gcc -O2 \\\n  -mtune=native x.c"),
        ("counts-processors", "make -j$(nproc)"),
        ("swallows-failures", "make check || true"),
        ("swallows-failures", "rm x || :"),
        ("swallows-failures", "set +e"),
        ("swallows-failures", "make -k all"),
        ("swallows-failures", 'make || echo "never mind"'),
    ],
)
def test_a_habit_is_named_with_its_line(shelf: Shelf, check: str, line: str) -> None:
    assert shelf.found(check) == []
    shelf.edit("recipes/packages/hello.toml", MAKE, line)
    (finding,) = shelf.found(check)
    assert (finding.check, finding.subject) == (check, "hello")
    assert finding.location is not None
    text = (shelf.root / finding.location.file).read_text().split("\n")
    assert finding.location.line is not None
    assert text[finding.location.line - 1] == line.partition("\n")[0]


@pytest.mark.parametrize(
    "line",
    [
        "./configure --with-curl --without-wget",
        "pkg-config --exists libcurl",
        "python3 -m pip install --no-index --find-links /deps/wheels numpy",
        "echo 'see /usr/share/doc/git clone'",
        "test -f x || exit 1",
        "test -f x || { echo no; exit 1; }",
        "if grep -q x y; then z; fi",
        "gcc -march=x86-64-v3 x.c",
        "# curl x | sh || true; nproc; -march=native /proc/cpuinfo",
        "./make-native && ./curly",
        "make -j 2 -C keep",
    ],
)
def test_what_only_looks_like_it_is_let_pass(shelf: Shelf, line: str) -> None:
    shelf.edit("recipes/packages/hello.toml", MAKE, line)
    scripts = ("script-fetches", "pipe-to-shell", "reads-processor", "native-code", "counts-processors")
    assert shelf.found(*scripts, "swallows-failures") == []


def test_variables_are_looked_at_too(shelf: Shelf) -> None:
    shelf.edit("recipes/packages/hello.toml", '"-Os"', '"-O3 -march=native"')
    (finding,) = shelf.found("native-code")
    assert finding.location is not None
    assert finding.location.path == "build.variables.CFLAGS"


def test_comments_end_lines_outside_of_quotes() -> None:
    assert without_comment("make # all") == "make "
    assert without_comment("echo '# no' \"# no\" a#b # yes") == "echo '# no' \"# no\" a#b "


def test_names(shelf: Shelf) -> None:
    assert shelf.found("names") == []
    shelf.write("patches/hello/0002-Why Not.patch", "")
    (finding,) = shelf.found("names")
    assert finding.subject == "patches/hello/0002-Why Not.patch"


def test_patches_with_little_context_or_wrong_counts(shelf: Shelf) -> None:
    assert shelf.found("patch-fuzz") == []
    thin = "--- a/x\n+++ b/x\n@@ -3,2 +3,2 @@\n one\n-two\n+three\n"
    shelf.write("patches/hello/0001-greet-everyone.patch", thin)
    shelf.edit("recipes/packages/hello.toml", sha256(PATCH.encode()), sha256(thin.encode()))
    (finding,) = shelf.found("patch-fuzz")
    assert finding.location is not None and finding.location.line == 3
    assert "1 and 0 lines of context" in finding.message
    assert [said for _, said in patch_problems(PATCH.replace("-1,7", "-1,9"))] == [
        "the line counts of the hunk at line 5 are wrong"
    ]
    made = "--- /dev/null\n+++ b/x\n@@ -0,0 +1 @@\n+new\n"
    assert list(patch_problems(made)) == []
    at_the_end = "--- a/x\n+++ b/x\n@@ -7,3 +7,4 @@\n a\n b\n c\n+d\n"
    assert list(patch_problems(at_the_end)) == []


RULES = [
    {"check": "prune", "message": "the prune rule 'tests' selects nothing", "severity": "warning"},
    {
        "check": "keep",
        "message": "the keep pattern '**/tests/data/**' selects nothing",
        "severity": "warning",
    },
]


def test_rules_that_select_nothing(locked: Shelf) -> None:
    locked.build({"a": "a"}, {"a": "a"}, {"findings": []})
    assert locked.found("prunes-nothing", "keeps-nothing") == []
    locked.build({"a": "a"}, {"a": "a"}, {"findings": RULES})
    found = {f.check: f.location.line for f in locked.found("prunes-nothing", "keeps-nothing") if f.location}
    assert found == {"prunes-nothing": 8, "keeps-nothing": 12}


@pytest.mark.parametrize(
    ("text", "imports"),
    [
        ("import json, os\n", False),
        ("import numpy.linalg\n", True),
        ("from cv2 import imread\n", True),
        ("import importlib\nimportlib.import_module('numpy')\n", True),
        ("import ctypes\nctypes.CDLL('libtiny.so.1')\n", True),
        ("from . import x\n", False),
        ("def broken(:\n", False),
    ],
)
def test_what_a_smoke_test_imports(tmp_path: Path, text: str, imports: bool) -> None:
    path = tmp_path / "smoke.py"
    path.write_text(text)
    assert imports_something(path) is imports


def test_smoke_tests_that_try_nothing(shelf: Shelf) -> None:
    assert shelf.found("smoke-tests") == []
    shelf.write("recipes/smoke/hello.py", "import json\n")
    (finding,) = shelf.found("smoke-tests")
    assert finding.location is not None and finding.location.line == 17
    text = (shelf.root / "recipes/layers/demo.toml").read_text()
    shelf.write("recipes/layers/demo.toml", text[: text.index("[[smoke]]")])
    (finding,) = shelf.found("smoke-tests")
    assert "has no smoke test" in finding.message


@pytest.mark.parametrize(
    ("day", "severity"),
    [
        ("2026-11-21", None),
        ("2027-02-01", Severity.NOTE),
        ("2027-07-01", Severity.WARNING),
        ("2027-08-31", Severity.ERROR),
    ],
)
def test_the_end_of_a_runtime_is_told_by_its_dates(shelf: Shelf, day: str, severity: Severity | None) -> None:
    found = shelf.found("runtime-deprecated", today=datetime.date.fromisoformat(day))
    assert [finding.severity for finding in found] == ([severity] if severity else [])
