"""The ABI check on real objects with planted defects, and the two edits: lowered versions and private names."""

from __future__ import annotations

import platform
import struct
from dataclasses import replace
from pathlib import Path

import elf
import exports
import lower
import private
import pytest
from abi import Runtime, Verdict, World, check
from task import Violation

from .conftest import Toolchain

pytestmark = pytest.mark.sandbox

ARCHITECTURE = "arm64" if platform.machine() == "aarch64" else "x86_64"
EXPORTS = """
library libc.so.6
GLIBC_2.2.5 puts
library libm.so.6
needs libc.so.6
GLIBC_2.2.5 exp sin
library libstdc++.so.6
needs libc.so.6
GLIBCXX_3.4 old
"""
RUNTIME = Runtime(
    name="python3.11",
    architecture=ARCHITECTURE,
    search=("/var/lang/lib", "/lib64", "/usr/lib64", "/var/task/lib", "/opt/lib"),
    libraries=exports.parse(EXPORTS),
    absent=frozenset({"libsatlas.so.3"}),
)
ROW = {"library": "libm.so.6", "from": "GLIBC_2.29", "to": "GLIBC_2.2.5", "symbols": ["exp", "log"]}
MODULE = "python/lib/python3.11/site-packages/m.so"
PYTHON_API = "int PyLong_AsLong(void) { return 0; }"


@pytest.fixture
def system(toolchain: Toolchain) -> Path:
    """The newer system that objects are linked on: its libm has exp@GLIBC_2.29, its libstdc++ GLIBCXX_3.4.26."""

    def library(name: str, source: str, versions: str) -> None:
        script = toolchain.folder / "versions"
        script.write_text(versions)
        options = ("-nostdlib", f"-Wl,-soname,{name}", f"-Wl,--version-script,{script}")
        toolchain.shared(f"system/{name}", source, *options)

    library(
        "libm.so.6",
        "double sin(double x){return x;} double exp1(double x){return x;} double exp2(double x){return x;}"
        "double log(double x){return x;} double f29(double x){return x;}"
        '__asm__(".symver exp1,exp@GLIBC_2.2.5\\n.symver exp2,exp@@GLIBC_2.29");',
        "GLIBC_2.2.5 { global: sin; local: *; }; GLIBC_2.29 { global: log; f29; };",
    )
    library(
        "libstdc++.so.6",
        "void old(void){} void fresh(void){}",
        "GLIBCXX_3.4 { global: old; local: *; }; GLIBCXX_3.4.26 { global: fresh; };",
    )
    return toolchain.folder / "system"


def _module(toolchain: Toolchain, system: Path, source: str, *options: str) -> Path:
    libraries = [str(path) for path in sorted(system.iterdir())]
    # --as-needed, so that a module needs only what its source uses.
    return toolchain.shared("m.so", source, "-nostdlib", *options, "-Wl,--as-needed", *libraries)


def _check(objects: dict[str, elf.Elf], **changes: object) -> Verdict:
    world = World(runtime=RUNTIME, objects=objects, names={name: name for name in objects})
    return check(replace(world, **changes))  # type: ignore[arg-type]


def _messages(objects: dict[str, elf.Elf], **changes: object) -> list[str]:
    return [finding.message for finding in _check(objects, **changes).findings]


def test_a_sound_module(toolchain: Toolchain, system: Path) -> None:
    source = "double sin(double); int PyLong_AsLong(void); int f(double x){return sin(x)+PyLong_AsLong();}"
    module = elf.read(_module(toolchain, system, source))
    interpreter = elf.read(toolchain.shared("python", PYTHON_API, "-nostdlib"))
    verdict = _check({MODULE: module}, interpreter=interpreter)
    assert verdict.findings == ()
    assert verdict.maxima == {"GLIBC": "2.2.5"}
    assert verdict.table == (
        {"file": MODULE, "needs": [{"name": "libm.so.6", "found": "runtime:libm.so.6"}]},
    )


def test_a_version_above_the_floor(toolchain: Toolchain, system: Path) -> None:
    module = elf.read(_module(toolchain, system, "double exp(double); double f(double x){return exp(x);}"))
    (finding,) = _check({MODULE: module}).findings
    assert finding.message == f"{MODULE}: version `GLIBC_2.29' of libm.so.6 not found (required by exp)"
    assert (finding.file, finding.symbol, finding.kind) == (MODULE, "exp@GLIBC_2.29", "abi")
    assert "list the file under `lower`" in finding.hint


def test_a_newer_libstdcxx(toolchain: Toolchain, system: Path) -> None:
    module = elf.read(_module(toolchain, system, "void fresh(void); void f(void){fresh();}"))
    (finding,) = _check({MODULE: module}).findings
    assert "version `GLIBCXX_3.4.26' of libstdc++.so.6 not found (required by fresh)" in finding.message
    assert "`private`" in finding.hint


def test_a_newer_libstdcxx_in_opt_lib_is_not_found(toolchain: Toolchain, system: Path) -> None:
    module = elf.read(_module(toolchain, system, "void fresh(void); void f(void){fresh();}"))
    objects = {MODULE: module, "lib/libstdc++.so.6": elf.read(system / "libstdc++.so.6")}
    assert any("GLIBCXX_3.4.26" in message for message in _messages(objects))


def test_a_private_libstdcxx_is(toolchain: Toolchain, system: Path) -> None:
    module = _module(toolchain, system, "void fresh(void); void f(void){fresh();}")
    library = system / "libstdc++.so.6"
    for path in (module, library):
        edits = private.plan(path.name, elf.read(path), path.read_bytes(), {"libstdc++.so.6"})
        assert edits
        elf.apply(path, edits)
    objects = {MODULE: elf.read(module), "lib/ll-stdc++.so.6": elf.read(library)}
    assert objects["lib/ll-stdc++.so.6"].soname == "ll-stdc++.so.6"
    assert objects[MODULE].needed == ("ll-stdc++.so.6",)
    assert [need.library for need in objects[MODULE].needs] == ["ll-stdc++.so.6"]
    assert _messages(objects) == []


def test_a_private_name_that_is_part_of_another(toolchain: Toolchain, system: Path) -> None:
    path = _module(toolchain, system, "void fresh(void); void f(void){fresh();}")
    parsed = elf.read(path)
    (need,) = [found for found in parsed.references if found.role == "needed"]
    longer = elf.Reference("symbol", need.start - 1, need.length + 1)
    with pytest.raises(Violation, match="part of another string"):
        private.plan(
            "m.so",
            replace(parsed, references=(*parsed.references, longer)),
            path.read_bytes(),
            {"libstdc++.so.6"},
        )


def test_a_missing_library(toolchain: Toolchain) -> None:
    provider = "void cblas_sgemm(void){}"
    library = toolchain.shared("libsatlas.so.3", provider, "-nostdlib", "-Wl,-soname,libsatlas.so.3")
    source = "void cblas_sgemm(void); void f(void){cblas_sgemm();}"
    module = elf.read(toolchain.shared("m.so", source, "-nostdlib", str(library)))
    findings = _check({MODULE: module}).findings
    assert findings[0].message == f"{MODULE}: libsatlas.so.3: cannot open shared object file"
    assert "python3.11 does not have it" in findings[0].hint
    assert _messages({MODULE: module, "lib/libsatlas.so.3": elf.read(library)}) == []
    elsewhere = _check({MODULE: module, "share/libsatlas.so.3": elf.read(library)}).findings
    assert "the layer has it as share/libsatlas.so.3" in elsewhere[0].hint
    assert (
        _messages(
            {MODULE: module, "share/libsatlas.so.3": elf.read(library)},
            loaded_before=frozenset({"libsatlas.so.3"}),
        )
        == []
    )


def test_an_undefined_symbol(toolchain: Toolchain) -> None:
    module = elf.read(
        toolchain.shared("m.so", "void cblas_sgemm(void); void f(void){cblas_sgemm();}", "-nostdlib")
    )
    blas = elf.read(toolchain.shared("b.so", "void cblas_sgemm(void){}", "-nostdlib"))
    (finding,) = _check({MODULE: module, "lib/libblas.so.3": blas}).findings
    assert finding.message == f"{MODULE}: undefined symbol: cblas_sgemm"
    assert finding.hint.startswith("lib/libblas.so.3 has it")


def test_a_weak_symbol_may_be_missing(toolchain: Toolchain) -> None:
    source = "__attribute__((weak)) void nowhere(void); void f(void){if(nowhere)nowhere();}"
    assert _messages({MODULE: elf.read(toolchain.shared("m.so", source, "-nostdlib"))}) == []


def test_a_library_that_counts_on_its_module(toolchain: Toolchain) -> None:
    """liblapack counts on what brings libblas in; loaded by a module that needs both it is right."""
    blas = toolchain.shared("libblas.so", "void dgemm(void){}", "-nostdlib", "-Wl,-soname,libblas.so")
    lapack = toolchain.shared(
        "liblapack.so",
        "void dgemm(void); void dgesv(void){dgemm();}",
        "-nostdlib",
        "-Wl,-soname,liblapack.so",
    )
    source = "void dgesv(void); void f(void){dgesv();}"
    both = elf.read(
        toolchain.shared("m.so", source, "-nostdlib", "-Wl,--no-as-needed", str(lapack), str(blas))
    )
    one = elf.read(toolchain.shared("n.so", source, "-nostdlib", str(lapack)))
    libraries = {"lib/libblas.so": elf.read(blas), "lib/liblapack.so": elf.read(lapack)}
    assert _messages({MODULE: both, **libraries}) == []
    assert _messages({MODULE: one, **libraries}) == [
        f"lib/liblapack.so: undefined symbol: dgemm (loaded by {MODULE})"
    ]


@pytest.mark.parametrize(
    ("rpath", "right"),
    [
        ("$ORIGIN/../x", True),
        ("/opt/lib/y", True),
        ("/build/numpy/lib", False),
        ("$ORIGIN/" + "../" * 9, False),
    ],
)
def test_search_paths(toolchain: Toolchain, rpath: str, right: bool) -> None:
    for tags in ("--enable-new-dtags", "--disable-new-dtags"):
        module = toolchain.shared(
            "m.so", "int f(void){return 1;}", "-nostdlib", f"-Wl,-rpath,{rpath}", f"-Wl,{tags}"
        )
        assert (_messages({MODULE: elf.read(module)}) == []) is right


def test_an_executable_stack(toolchain: Toolchain) -> None:
    module = toolchain.shared("m.so", "int f(void){return 1;}", "-nostdlib", "-Wl,-z,execstack")
    assert any("executable stack" in message for message in _messages({MODULE: elf.read(module)}))


@pytest.mark.parametrize(
    ("field", "value", "why"),
    [
        (16, 0x10, "not properly aligned"),
        (32, 1 << 30, "past end of file"),
        (48, 24, "not page-aligned"),
    ],
)
def test_a_damaged_segment(toolchain: Toolchain, field: int, value: int, why: str) -> None:
    content = bytearray(toolchain.shared("m.so", "int f(void){return 1;}", "-nostdlib").read_bytes())
    start = struct.unpack_from("<Q", content, 32)[0]
    # The first PT_LOAD that is not the one which holds the tables.
    loads = [start + 56 * number for number in range(content[56]) if content[start + 56 * number] == 1]
    place = loads[1] + field
    old = struct.unpack_from("<Q", content, place)[0]
    struct.pack_into("<Q", content, place, old + value if field == 16 else value)
    assert any(why in message for message in _messages({MODULE: elf.parse(bytes(content))}))


def test_the_wrong_machine(toolchain: Toolchain) -> None:
    content = bytearray(toolchain.shared("m.so", "int f(void){return 1;}", "-nostdlib").read_bytes())
    content[18] = 62 if ARCHITECTURE == "arm64" else 183
    assert "the layer for" in _messages({MODULE: elf.parse(bytes(content))})[0]


@pytest.mark.parametrize(
    "content", [b"\x7fELF", b"\x7fELF\2\1\1" + bytes(57), b"no", b"\x7fELF\1\1\1" + bytes(99)]
)
def test_what_is_no_object(content: bytes) -> None:
    with pytest.raises(elf.NotLoadable):
        elf.parse(content)


def test_every_cut_of_an_object_is_refused_or_read(toolchain: Toolchain, system: Path) -> None:
    content = _module(
        toolchain, system, "double exp(double); double f(double x){return exp(x);}"
    ).read_bytes()
    for end in range(0, len(content), 97):
        try:
            elf.parse(content[:end])
        except elf.NotLoadable:
            continue


def test_lowering(toolchain: Toolchain, system: Path) -> None:
    source = "double exp(double); double sin(double); double f(double x){return exp(sin(x));}"
    path = _module(toolchain, system, source)
    edits, lowered = lower.plan("m.so", elf.read(path), path.read_bytes(), [ROW])
    elf.apply(path, edits)
    assert lowered == [lower.Lowered("m.so", "libm.so.6", "GLIBC_2.29", "GLIBC_2.2.5", ("exp",))]
    after = elf.read(path)
    assert {need.version for need in after.needs} == {"GLIBC_2.2.5"}
    assert {wanted.name: wanted.version for wanted in after.wanted} == {
        "exp": "GLIBC_2.2.5",
        "sin": "GLIBC_2.2.5",
    }
    assert _messages({MODULE: after}) == []


def test_lowering_over_the_old_name(toolchain: Toolchain, system: Path) -> None:
    """Without another reference to GLIBC_2.2.5 the name has to be written over the old one, and may not fit."""
    path = _module(toolchain, system, "double exp(double); double f(double x){return exp(x);}")
    with pytest.raises(Violation, match="too short"):
        lower.plan("m.so", elf.read(path), path.read_bytes(), [ROW])
    edits, _ = lower.plan("m.so", elf.read(path), path.read_bytes(), [{**ROW, "to": "GLIBC_2.17"}])
    elf.apply(path, edits)
    assert [need.version for need in elf.read(path).needs] == ["GLIBC_2.17"]


def test_lowering_wants_every_symbol_listed(toolchain: Toolchain, system: Path) -> None:
    source = "double exp(double); double f29(double); double f(double x){return exp(f29(x));}"
    path = _module(toolchain, system, source)
    with pytest.raises(Violation, match=r"uses f29 of libm\.so\.6 at GLIBC_2\.29") as caught:
        lower.plan("m.so", elf.read(path), path.read_bytes(), [ROW])
    assert caught.value.error["symbol"] == "f29@GLIBC_2.29"


def test_exports_round_trip() -> None:
    libraries = exports.parse(EXPORTS + "library libxml2.so.2\nunlisted\nlibrary libz.so.1\n- crc32\n")
    text = exports.render(libraries.values(), "head")
    assert exports.parse(text) == libraries
    assert libraries["libxml2.so.2"].defines("anything", "V")
    assert libraries["libz.so.1"].defines("crc32", "")
    assert not libraries["libm.so.6"].defines("exp", "GLIBC_2.29")


@pytest.mark.parametrize("text", ["needs x", "library", "library a\nlibrary a"])
def test_exports_that_cannot_be_read(text: str) -> None:
    with pytest.raises(ValueError, match="line "):
        exports.parse(text)
