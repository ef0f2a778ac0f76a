"""What a layer can do without is found by trial: real assemblies, traced smoke tests and trials of a small layer."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from layerlock.errors import SmokeFailed, UsageError
from layerlock.io.repository import Repository
from layerlock.workflows.building import build_layer
from layerlock.workflows.locking import lock_layer
from layerlock.workflows.shrinking import Shrunk, check_writable, shrink

from .conftest import ROOT, Bench

pytestmark = pytest.mark.sandbox

LAYER = "recipes/layers/tiny-parts.toml"
SITE = "**/site-packages"
PACKAGE = """\
[package]
name = "tiny-parts"
version = "1.0"
license = "Apache-2.0"

[build]
environment = "bullseye"
script = '''
site=/out/python/lib/python3.9/site-packages
pad() { head -c 20000 /dev/zero | tr '\\0' '#'; echo; }
for name in used hollow optional unused; do
  mkdir -p "$site/tiny_$name" "$site/tiny_$name-1.0.dist-info"
  pad > "$site/tiny_$name/__init__.py"
  printf 'Metadata-Version: 2.1\\nName: tiny-%s\\nVersion: 1.0\\n' "$name" > "$site/tiny_$name-1.0.dist-info/METADATA"
  echo "tiny_$name" > "$site/tiny_$name-1.0.dist-info/top_level.txt"
  echo "a licence" > "$site/tiny_$name-1.0.dist-info/LICENSE"
done
cd "$site/tiny_used"
mkdir tests fonts locale include
pad > tests/test_used.py
pad > locale/de.po
pad > include/used.h
pad > stubs.pyi
pad > fonts/needed.font
for number in 1 2 3 4 5 6 7 8 9; do pad > fonts/other$number.font; done
echo "the fonts' licence" > fonts/LICENSE
cat >> __init__.py <<'END'
import importlib.metadata
import pathlib

import tiny_hollow
try:
    import tiny_optional
except ImportError:
    tiny_optional = None

VERSION = importlib.metadata.version("tiny-used")
FONTS = {path.stem: path.read_text() for path in pathlib.Path(__file__).parent.glob("fonts/*.font")}


class Never(tiny_hollow.Base):
    def called(self):
        return tiny_hollow.work()
END
printf 'class Base:\\n    pass\\n\\n\\ndef work():\\n    return 1\\n' >> ../tiny_hollow/__init__.py
printf 'static const char pad[20000] = {1}; const char *get(void) { return pad; }' > /tmp/spare.c
gcc -shared -fPIC -o _spare.cpython-39-x86_64-linux-gnu.so /tmp/spare.c
'''
"""
RECIPE = """\
# A comment that stays.
[layer]
name = "tiny-parts"
runtime = "python3.9-test"
environment = "bullseye"
summary = "Packages of which not everything is needed"
packages = ["tiny-parts"]
tools = ["guest-tools"]
bytecode = "unchecked-hash"

# The only test.
[[smoke]]
name = "parts"
file = "smoke/parts.py"
"""
SMOKE = """\
import tiny_used

assert tiny_used.VERSION == "1.0"
assert tiny_used.FONTS["needed"]
"""


@pytest.fixture
def parts(bench: Bench) -> Bench:
    """Give the small repository with a locked layer that holds more than it needs."""
    (bench.folder / "recipes/packages/tiny-parts.toml").write_text(PACKAGE)
    (bench.folder / "recipes/smoke/parts.py").write_text(SMOKE)
    (bench.folder / LAYER).write_text(RECIPE)
    lock_layer(bench.driver(), "tiny-parts")
    return bench


def where(bench: Bench) -> list[str]:
    """Give the options that lead the command to the small repository."""
    return ["--repo", str(bench.folder), "--store", str(bench.store)]


def patterns(found: Shrunk) -> dict[str, tuple[str, ...]]:
    """Give the patterns of the rules by name."""
    return {rule.name: rule.patterns for rule in found.rules}


def test_what_is_not_needed_is_found_and_nothing_else(parts: Bench, tmp_path: Path) -> None:
    """Every kind of candidate once, what needs it kept; the recipe with the rules builds, and nothing more is found."""
    found = shrink(parts.driver(), "tiny-parts")
    assert patterns(found) == {
        "never-imported": (f"{SITE}/tiny_unused-*.dist-info/**", f"{SITE}/tiny_unused/**"),
        "optional-packages": (f"{SITE}/tiny_optional-*.dist-info/**", f"{SITE}/tiny_optional/**"),
        "tests": ("**/tests/**",),
        "stubs": ("**/*.pyi",),
        "compiling": ("**/include/**",),
        "dist-info": ("**/*.dist-info/top_level.txt", f"{SITE}/tiny_hollow-*.dist-info/METADATA"),
        "never-opened": (f"{SITE}/tiny_used/locale/**",),
        "never-loaded": (f"{SITE}/tiny_used/_spare.*.so",),
        "opened-data": (f"{SITE}/tiny_used/fonts/**",),
    }
    kept = (f"{SITE}/tiny_used/fonts/LICENSE", f"{SITE}/tiny_used/fonts/needed.font")
    assert {rule.name: rule.keep for rule in found.rules if rule.keep} == {"opened-data": kept}
    assert [each.called for each in found.needed] == ["tiny_used/fonts/needed.font", "tiny_hollow"]
    assert "No module named 'tiny_hollow'" in found.needed[1].why
    (hollow,) = found.hollow
    assert (hollow.package, hollow.statements) == (
        "tiny_hollow",
        (("tiny_used/__init__.py:5", "import tiny_hollow"),),
    )
    assert hollow.bytes > 20_000
    saved = {rule.name: rule.bytes for rule in found.rules}
    assert all(size > 20_000 for name, size in saved.items() if name != "dist-info")
    assert found.before.unzipped - found.after.unzipped == sum(saved.values())
    # The zip's end tells how many entries there are, and no more.
    assert found.before.zipped - found.after.zipped == sum(rule.packed for rule in found.rules)
    assert found.metadata == ("python/lib/python3.9/site-packages/tiny_used-1.0.dist-info/METADATA",)
    assert found.too_large == ""
    # All of it is remembered.
    once_more = shrink(parts.driver(), "tiny-parts")
    assert (once_more.run, once_more.trials, once_more.rules) == (0, found.trials, found.rules)

    told = subprocess.run(
        [sys.executable, "-m", "layerlock", *where(parts), "shrink", "tiny-parts", "--write"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert (told.returncode, told.stdout.rpartition("wrote ")[2]) == (
        0,
        f"{LAYER}: read the rules, then: layerlock lock tiny-parts\n",
    )
    assert "tiny_hollow is imported and never called (" in told.stdout
    assert "  tiny_used/__init__.py:5: import tiny_hollow\n" in told.stdout
    text = (parts.folder / LAYER).read_text()
    assert text.startswith(RECIPE.partition("# The only")[0])
    assert text.endswith("\n# The only test.\n" + RECIPE.partition("test.\n")[2])
    assert "# Saves " in text
    lock_layer(parts.driver(), "tiny-parts")
    assert build_layer(parts.driver(), "tiny-parts", tmp_path).unzipped == found.after.unzipped
    again = shrink(parts.driver(), "tiny-parts")
    assert (again.rules, again.before) == ((), found.after)


@pytest.mark.long
def test_a_search_that_was_killed_goes_on_where_it_stopped(parts: Bench) -> None:
    """What came of finished trials is in the store; two searches together run each trial once."""
    parts.append("recipes/smoke/parts.py", "print('a test of its own: nothing of it was ever tried')\n")
    lock_layer(parts.driver(), "tiny-parts")
    arguments = [*where(parts), "--json", "shrink", "tiny-parts", "--jobs", "1"]
    with subprocess.Popen(
        [sys.executable, "-m", "layerlock", *arguments], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        told = 0
        for line in process.stdout:
            told += json.loads(line)["event"] == "Tried" and "its tests fail" in line
            if told:
                process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    done = trials(parts.store)
    assert done >= 3
    found = shrink(parts.driver(), "tiny-parts")
    assert found.run > 0
    assert found.run == trials(parts.store) - done
    again = shrink(parts.driver(), "tiny-parts")
    assert (again.run, again.rules, again.trials) == (0, found.rules, found.trials)


def trials(store: Path) -> int:
    """Count the trials that the store remembers."""
    records = (path.read_text() for path in (store / "realisations").glob("*.json"))
    return sum("layer-tiny-parts-trial" in text for text in records)


def test_tests_that_fail_with_everything_there(parts: Bench) -> None:
    parts.append("recipes/smoke/parts.py", "raise SystemExit('out of order')\n")
    lock_layer(parts.driver(), "tiny-parts")
    with pytest.raises(SmokeFailed, match="fail with everything there"):
        shrink(parts.driver(), "tiny-parts")


def test_what_cannot_be_shrunk_is_said(parts: Bench) -> None:
    with pytest.raises(UsageError, match="`hello` is a function"):
        shrink(parts.driver(), "hello")
    text = RECIPE.replace('"tiny-parts"', '"tiny-other"', 1).replace(
        "packages =", 'base = "tiny"\npackages ='
    )
    (parts.folder / "recipes/layers/tiny-other.toml").write_text(text)
    with pytest.raises(UsageError, match="the prune rules of tiny-other are those of tiny") as caught:
        check_writable(Repository(parts.folder), "tiny-other")
    assert str(caught.value.location).startswith("recipes/layers/tiny-other.toml:")
