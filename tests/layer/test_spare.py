"""What a layer may do without, out of listings and traces; and rules that say it in few patterns."""

from __future__ import annotations

import tomllib
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path

import pytest

from layerlock.layer.rules import keep_text_of, rules_of, text_of
from layerlock.layer.spare import DATA, LIBRARIES, Group, imported, opened, parts, unneeded, unopened
from layerlock.layer.usage import Holding, Used, read_holding, read_trace

SITE = "python/lib/python3.9/site-packages"
BIG = b"#" * 20_000
FILES = {
    f"{SITE}/used/__init__.py": BIG,
    f"{SITE}/used/__pycache__/__init__.cpython-39.pyc": BIG,
    f"{SITE}/used/tests/test_it.py": BIG,
    f"{SITE}/used/data/a.txt": BIG,
    f"{SITE}/used/data/LICENSE": b"a licence",
    f"{SITE}/used/_x.cpython-39-x86_64-linux-gnu.so": BIG,
    f"{SITE}/Used.libs/libx.so.1.2": BIG,
    f"{SITE}/Used-1.0.dist-info/METADATA": b"Name: Used",
    f"{SITE}/other/__init__.py": BIG,
    "lib/libmain.so.2": BIG,
    "lib/libdeep.so.3": BIG,
}


@pytest.fixture
def holding(tmp_path: Path) -> Holding:
    """List a layer of one used package, with libraries, links and bytecode."""
    return listed(tmp_path, FILES)


def listed(folder: Path, files: Mapping[str, bytes]) -> Holding:
    """List a layer of these files, and of a link if they have what it leads to."""
    tree = folder / "tree"
    for name, data in files.items():
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_bytes(data)
    if (tree / "lib").exists():
        (tree / "lib/libmain.so").symlink_to("libmain.so.2")
    with zipfile.ZipFile(folder / "layer.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(tree.rglob("*")):
            if path.is_file():
                archive.write(path, path.relative_to(tree).as_posix())
    return read_holding(tree, folder / "layer.zip", ("/var/task", f"/opt/{SITE}", "/opt/python", "/var/lang"))


def used(holding: Holding, *lines: str) -> Used:
    """Read a trace."""
    return read_trace(lines, holding)


def called(groups: Iterable[Group]) -> list[str]:
    """Give what groups are called."""
    return [group.called for group in groups]


def test_bytecode_and_links_go_with_what_they_are_of(holding: Holding) -> None:
    module = holding.files[f"{SITE}/used/__init__.py"]
    assert module.size == 2 * len(BIG)
    assert module.also == (f"{SITE}/used/__pycache__/__init__.cpython-39.pyc",)
    assert holding.files["lib/libmain.so.2"].also == ("lib/libmain.so",)
    assert "lib/libmain.so" not in holding.files


def test_what_a_trace_says_is_found_through_links_and_bytecode(holding: Holding) -> None:
    seen = used(
        holding,
        f"open\t/opt/{SITE}/used/../used/__pycache__/__init__.cpython-39.pyc",
        "map\t/opt/lib/libmain.so",
        "open\t/opt/elsewhere",
        "import\tother.part\t/opt/x.py\t12",
        "import\tcut short",
        "call\tother.work",
    )
    assert seen.files == {f"{SITE}/used/__init__.py", "lib/libmain.so.2"}
    assert seen.mapped == {"lib/libmain.so.2"}
    assert [(s.top, s.line) for s in seen.statements] == [("other", 12)]
    assert seen.called == ("other.work",)


def test_packages_with_their_companions(holding: Holding) -> None:
    """Libraries and metadata go with a project's package; without it, metadata stays that somebody else reads."""
    projects = {"used": ("used",)}
    nothing = used(holding)
    by_name = {group.called: group.files for group in unneeded(holding, nothing, (), projects)}
    assert f"{SITE}/Used.libs/libx.so.1.2" in by_name["used"]
    assert f"{SITE}/Used-1.0.dist-info/METADATA" in by_name["used"]
    read = used(holding, f"open\t/opt/{SITE}/Used-1.0.dist-info/METADATA")
    by_name = {group.called: group.files for group in unneeded(holding, read, (), projects)}
    assert f"{SITE}/Used-1.0.dist-info/METADATA" not in by_name["used"]

    some = used(
        holding, f"open\t/opt/{SITE}/used/__init__.py", f"open\t/opt/{SITE}/Used-1.0.dist-info/METADATA"
    )
    assert called(unneeded(holding, some, (), projects)) == ["other", "tests of used"]
    (package,) = imported(holding, some, (), projects, ())
    assert f"{SITE}/Used.libs/libx.so.1.2" in package.files
    assert f"{SITE}/Used-1.0.dist-info/METADATA" in package.files
    assert not list(imported(holding, some, (), projects, ("used",)))


def test_a_library_stays_while_something_that_stays_needs_it(holding: Holding) -> None:
    seen = used(holding, f"open\t/opt/{SITE}/used/__init__.py", "map\t/opt/lib/libmain.so.2")
    module, library = f"{SITE}/used/_x.cpython-39-x86_64-linux-gnu.so", f"{SITE}/Used.libs/libx.so.1.2"
    spare = unopened(holding, seen, (), (), {library: {module}})
    assert {path for group in spare for path in group.files} >= {module, library, "lib/libdeep.so.3"}
    # Of a library whose user is loaded, and of one whose user has to stay by a rule, the same holds.
    spare = unopened(
        holding, seen, (module,), (), {library: {module}, "lib/libdeep.so.3": {"lib/libmain.so.2"}}
    )
    gone = {path for group in spare for path in group.files}
    assert not gone & {module, library, "lib/libdeep.so.3", "lib/libmain.so.2"}


def test_rules_name_what_goes_and_nothing_else(holding: Holding) -> None:
    """A kind's own pattern where nothing that stays has it, folders where all of it goes, else single files."""
    tests = Group(name="t", rule="tests", called="t", files=(f"{SITE}/used/tests/test_it.py",))
    data = Group(name="d", rule="opened-data", called="d", files=(f"{SITE}/used/data/a.txt",))
    module = f"{SITE}/used/_x.cpython-39-x86_64-linux-gnu.so"
    loose = Group(name="l", rule=LIBRARIES, called="l", files=(module,))
    rules = rules_of((tests, data, loose), holding, (), {"tests"})
    assert [(rule.name, rule.patterns) for rule in rules] == [
        ("tests-by-trial", ("**/tests/**",)),
        (LIBRARIES, ("**/site-packages/used/_x.*.so",)),
        ("opened-data", ("**/site-packages/used/data/a.txt",)),
    ]
    # With its licence the data is all of the folder, by a keep rule or by going itself.
    (rule,) = rules_of((data,), holding, (f"{SITE}/used/data/LICENSE",), ())
    assert rule.patterns == ("**/site-packages/used/data/**",)
    (table,) = tomllib.loads(text_of(rule))["prune"]
    assert table == {"name": rule.name, "patterns": list(rule.patterns), "reason": rule.reason}
    assert text_of(rule).startswith("# Saves 0.02 MB unzipped and 0.00 MB zipped.\n[[prune]]\n")


def test_data_is_taken_apart_where_some_of_it_has_to_stay(tmp_path: Path) -> None:
    """A folder without code is one candidate, its parts are next; a rule says what stays where that is shorter."""
    zones = [
        f"{SITE}/used/zones/{name}" for name in ("Africa/Cairo", "Europe/Berlin", "Europe/LICENSE", "UTC")
    ]
    zones += [f"{SITE}/used/zones/Europe/{number}" for number in range(12)]
    holding = listed(tmp_path, {f"{SITE}/used/__init__.py": BIG, **dict.fromkeys(zones, BIG)})
    seen = used(holding, f"open\t/opt/{zones[1]}")
    (whole,) = opened(holding, seen, (), ())
    assert (whole.called, set(whole.files)) == ("used/zones", set(zones))
    taken = parts(whole)
    assert called(taken) == ["used/zones/Africa", "used/zones/Europe", "used/zones/UTC"]
    europe = parts(taken[1])
    assert called(europe[-2:]) == ["used/zones/Europe/9", "used/zones/Europe/Berlin"]
    assert "used/zones/Europe/LICENSE" not in called(europe)

    gone = (taken[0], taken[2], *europe[:-1])
    (rule,) = rules_of(gone, holding, (), ())
    place = "**/site-packages/used/zones"
    assert (rule.name, rule.patterns) == (DATA, (f"{place}/**",))
    assert rule.keep == (f"{place}/Europe/Berlin", f"{place}/Europe/LICENSE")
    assert rule.files == 14
    (table,) = tomllib.loads(keep_text_of(rule))["keep"]
    assert table["patterns"] == list(rule.keep)
    # What the recipe keeps anyhow is not said again.
    (rule,) = rules_of(gone, holding, (zones[2],), ())
    assert rule.keep == (f"{place}/Europe/Berlin",)
    # Of little, each place is named.
    (rule,) = rules_of((taken[0], taken[2]), holding, (), ())
    assert (rule.patterns, rule.keep) == ((f"{place}/Africa/**", f"{place}/UTC"), ())
