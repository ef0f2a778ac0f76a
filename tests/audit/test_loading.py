"""How the loader is followed on paper, on objects that are only stated; real ones are in test_objects.py."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from layerlock.audit.elf import Elf, Wanted
from layerlock.audit.exports import parse_exports
from layerlock.audit.loading import Found, Loader, Platform, expand
from layerlock.errors import InvalidRecipe

ROOT = Path(__file__).parents[2]
GUEST = ROOT / "src" / "layerlock" / "guest"
if str(GUEST) not in sys.path:
    sys.path.append(str(GUEST))

import exports  # noqa: E402 - guest code, by its plain name

EXPORTS = """
library libc.so.6
GLIBC_2.2.5 puts
library libm.so.6
needs libc.so.6
GLIBC_2.2.5 exp
library libxml2.so.2
unlisted
"""
PLATFORM = Platform(
    name="python3.11",
    architecture="x86_64",
    search=("/var/lang/lib", "/lib64", "/usr/lib64", "/var/task/lib", "/opt/lib"),
    libraries=parse_exports(EXPORTS, "x.exports"),
)
MODULE = "python/m.so"


def loader(
    objects: dict[str, Elf], *, interpreter: Elf | None = None, links: Mapping[str, str] | None = None
) -> Loader:
    names = {**{path: path for path in objects}, **(links or {})}
    return Loader(objects=objects, names=names, platform=PLATFORM, interpreter=interpreter)


def wants(*names: str, needed: tuple[str, ...] = (), weak: bool = False) -> Elf:
    wanted = tuple(Wanted(name=name, library="", version="", weak=weak) for name in names)
    return Elf(kind="dynamic", needed=needed, wanted=wanted)


def has(*names: str, soname: str = "", needed: tuple[str, ...] = ()) -> Elf:
    return Elf(
        kind="dynamic", soname=soname, needed=needed, defined={name: frozenset({""}) for name in names}
    )


def test_the_systems_library_is_found_before_the_layers() -> None:
    """Lambda searches /opt/lib last: a newer libm.so.6 in a layer never wins, unless a DT_RPATH says so."""
    objects = {MODULE: Elf(needed=("libm.so.6",)), "lib/libm.so.6": has("exp")}
    assert loader(objects).edges[MODULE] == {"libm.so.6": Found(name="libm.so.6")}
    by_rpath = Elf(needed=("libm.so.6",), rpath=("$ORIGIN/../lib",))
    assert loader({**objects, MODULE: by_rpath}).edges[MODULE]["libm.so.6"] == Found(
        name="libm.so.6", path="lib/libm.so.6"
    )
    # With a DT_RUNPATH the DT_RPATH does not count, and the former comes after LD_LIBRARY_PATH.
    both = Elf(needed=("libm.so.6",), rpath=("$ORIGIN/../lib",), runpath=("$ORIGIN/../lib",))
    assert loader({**objects, MODULE: both}).edges[MODULE]["libm.so.6"] == Found(name="libm.so.6")


def test_what_the_recipe_says_is_loaded_before_is_found_wherever_it_stands() -> None:
    """It is found last, by its soname or its file's name, and only if the layer has it."""
    objects = {
        MODULE: Elf(needed=("libtorch.so", "libother.so", "libm.so.6", "libnone.so")),
        "python/torch/lib/libtorch.so": has("f"),
        "python/torch/lib/a.so": has("g", soname="libother.so"),
        "python/torch/lib/libm.so.6": has("exp"),
    }
    plain = loader(objects)
    before = frozenset({"libtorch.so", "libother.so", "libm.so.6", "libnone.so"})
    told = Loader(objects=plain.objects, names=plain.names, platform=replace(PLATFORM, loaded_before=before))
    assert plain.edges[MODULE]["libtorch.so"] is None
    assert told.edges[MODULE] == {
        "libtorch.so": Found(name="libtorch.so", path="python/torch/lib/libtorch.so"),
        "libother.so": Found(name="libother.so", path="python/torch/lib/a.so"),
        "libm.so.6": Found(name="libm.so.6"),
        "libnone.so": None,
    }


@pytest.mark.parametrize(("root", "prefix"), [("/opt", ""), ("/var/task", "../../opt/")])
def test_layers_beneath_are_found_and_not_judged(root: str, prefix: str) -> None:
    """A layer's or function's module finds their libraries and what those bring in; what they lack is their concern."""
    own = {"m.so": wants("f", "g", needed=("liba.so",)), "alone.so": wants("h", needed=("libnone.so",))}
    below = {
        f"{prefix}lib/liba.so": has("f", needed=("libb.so", "libmissing.so")),
        f"{prefix}lib/libb.so": has("g"),
    }
    found = Loader(
        objects=own,
        names={path: path for path in (*below, *own)},
        platform=PLATFORM,
        beneath=below,
        root=root,
    )
    library = Found(name="liba.so", path=f"{prefix}lib/liba.so")
    assert found.edges == {"m.so": {"liba.so": library}, "alone.so": {"libnone.so": None}}
    assert list(found.unversioned()) == [("alone.so", "h", "alone.so")]
    assert found.provider(library) is below[library.path]
    assert loader(own).edges["m.so"] == {"liba.so": None}


def test_links_lead_to_objects() -> None:
    """A name that is a link counts as what it leads to."""
    objects = {MODULE: Elf(needed=("liba.so.1",)), "lib/liba.so.1.2": has("f")}
    found = loader(objects, links={"lib/liba.so.1": "lib/liba.so.1.2"})
    assert found.edges[MODULE] == {"liba.so.1": Found(name="liba.so.1", path="lib/liba.so.1.2")}
    assert found.users["lib/liba.so.1.2"] == (MODULE,)


def test_a_symbol_is_met_by_what_is_in_scope() -> None:
    """What is needed, and what that needs; not what merely lies in the layer."""
    objects = {
        MODULE: wants("f", "puts", needed=("liba.so",)),
        "lib/liba.so": has("a", needed=("libb.so",)),
        "lib/libb.so": has("f"),
    }
    assert list(loader(objects).unversioned()) == []
    objects["lib/liba.so"] = has("a")
    assert list(loader(objects).unversioned()) == [(MODULE, "f", MODULE)]
    assert list(loader({MODULE: wants("f", weak=True)}).unversioned()) == []


def test_a_library_may_count_on_the_module_that_loads_it() -> None:
    """A circle of two libraries that no module leads to is judged by itself."""
    objects = {MODULE: has("g", needed=("liba.so",)), "lib/liba.so": wants("g")}
    assert list(loader(objects).unversioned()) == []
    objects[MODULE] = has("other", needed=("liba.so",))
    assert list(loader(objects).unversioned()) == [("lib/liba.so", "g", MODULE)]
    circle = {"lib/a.so": wants("x", needed=("b.so",)), "lib/b.so": has("y", needed=("a.so",))}
    assert list(loader(circle).unversioned()) == [("lib/a.so", "x", "lib/a.so")]


def test_python_is_the_interpreter_or_taken_on_trust() -> None:
    """With an interpreter its symbols are known; without, its names and libraries are taken as met."""
    objects = {MODULE: wants("PyLong_New", "exp", "unheard_of")}
    assert [name for _, name, _ in loader(objects).unversioned()] == ["unheard_of"]
    python = has("PyLong_FromLong", needed=("libm.so.6",))
    missing = [name for _, name, _ in loader(objects, interpreter=python).unversioned()]
    assert missing == ["PyLong_New", "unheard_of"]


def test_an_unlisted_library_is_taken_on_trust() -> None:
    """Nobody has listed what it exports."""
    assert list(loader({MODULE: wants("xmlParse", needed=("libxml2.so.2",))}).unversioned()) == []


@pytest.mark.parametrize(
    ("entry", "place"),
    [("$ORIGIN/../lib", "/opt/lib"), ("${ORIGIN}", "/opt/python"), ("", ""), ("/usr/lib/", "/usr/lib")],
)
def test_search_paths(entry: str, place: str) -> None:
    """An empty entry is the current directory, and stays empty."""
    assert expand(entry, "/opt/python") == place


def test_exports_are_read_as_assembly_reads_them() -> None:
    """The real list of a runtime, name by name."""
    for path in sorted((ROOT / "recipes" / "runtimes").glob("*.exports")):
        text = path.read_text(encoding="utf-8")
        mine, its = parse_exports(text, path.name), exports.parse(text)
        assert mine.keys() == its.keys()
        for name, library in mine.items():
            other = its[name]
            assert (library.needs, library.listed) == (other.needs, other.listed)
            assert library.symbols == dict(other.symbols)
            assert library.versions == {v for found in other.symbols.values() for v in found if v}


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("library a b", 1, "one new name"),
        ("library a\nlibrary a", 2, "one new name"),
        ("# x\n- f", 2, "before the first"),
    ],
)
def test_damaged_exports_are_named_by_line(text: str, line: int, said: str) -> None:
    """With the file."""
    with pytest.raises(InvalidRecipe, match=said) as caught:
        parse_exports(text, "recipes/runtimes/x.exports")
    assert caught.value.location is not None
    assert (caught.value.location.file, caught.value.location.line) == ("recipes/runtimes/x.exports", line)


def test_a_module_hands_its_search_path_down() -> None:
    """As repaired wheels count on: their own libraries name each other and no place, the module has a DT_RPATH."""
    first = Elf(kind="dynamic", soname="liba.so", needed=("libb.so",))
    second = Elf(kind="dynamic", soname="libb.so", needed=("libc.so",))
    third = Elf(kind="dynamic", soname="libc.so")
    libraries = {
        "python/m.libs/liba.so": first,
        "python/m.libs/libb.so": second,
        "python/m.libs/libc.so": third,
    }
    module = Elf(kind="dynamic", needed=("liba.so",), rpath=("$ORIGIN/m.libs",))
    edges = loader({MODULE: module, **libraries}).edges
    assert edges["python/m.libs/liba.so"]["libb.so"] == Found(name="libb.so", path="python/m.libs/libb.so")
    assert edges["python/m.libs/libb.so"]["libc.so"] == Found(name="libc.so", path="python/m.libs/libc.so")
    # DT_RUNPATH is for the module alone.
    modern = Elf(kind="dynamic", needed=("liba.so",), runpath=("$ORIGIN/m.libs",))
    assert loader({MODULE: modern, **libraries}).edges["python/m.libs/liba.so"]["libb.so"] is None
    # Another module may be imported first, and it says nothing.
    other = {"python/other.so": Elf(kind="dynamic", needed=("liba.so",))}
    links = {"lib/liba.so": "python/m.libs/liba.so"}
    both = loader({MODULE: module, **libraries, **other}, links=links)
    assert both.edges["python/m.libs/liba.so"]["libb.so"] is None
