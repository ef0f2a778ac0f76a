"""Who owns a file, by packages' outputs and by the records of installers, on trees written for it."""

from __future__ import annotations

import base64
import hashlib
import importlib.util
from pathlib import Path

from layerlock.audit.belonging import CHECKS
from layerlock.audit.contents import BYTECODE
from layerlock.audit.owners import Shipped
from layerlock.errors import Location
from layerlock.model.findings import Severity

from .layers import LINK, SITE, Files, found, pack, survey_of

WHERE = Location(file="recipes/packages/tiny.toml", line=5)
MODULE = f"{SITE}/tiny/config-3.11.py"
PYC = f"{SITE}/tiny/__pycache__/config-3.11.cpython-311.pyc"
HEADER = b"\xa7\r\r\n\1\0\0\0" + bytes(8)


def package(folder: Path, files: dict[str, bytes]) -> Shipped:
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return Shipped(
        name=folder.name, version="1.0", planned="p", output="sha256-x", tree=folder, location=WHERE
    )


def test_every_file_has_its_package(tmp_path: Path) -> None:
    """As it was built, under a private name, as a link, and as bytecode of a module with dots in its name."""
    one = package(tmp_path / "one", {"lib/libtiny.so.1": b"x", "share/licenses/one": b"free"})
    two = package(tmp_path / "two", {MODULE: b"y"})
    (one.tree / "lib" / "libtiny.so").symlink_to("libtiny.so.1")
    files: Files = {
        "lib/libtiny.so.1": b"x",
        "lib/libtiny.so": (LINK, b"libtiny.so.1"),
        "lib/ll-tiny.so.1": b"x",
        MODULE: b"y",
        PYC: HEADER,
    }
    report = {"private": [{"from": "lib/libtiny.so.1", "to": "lib/ll-tiny.so.1"}]}
    survey = survey_of(pack(tmp_path / "z.zip", files), packages=(one, two), report=report)
    owners = survey.owners
    assert {path: (owner.package, owner.how) for path, owner in owners.items()} == {
        "lib/libtiny.so.1": ("one", "as built"),
        "lib/libtiny.so": ("one", "as built"),
        "lib/ll-tiny.so.1": ("one", "as built"),
        MODULE: ("two", "as built"),
        PYC: ("two", "compiled"),
    }
    assert owners["lib/ll-tiny.so.1"].original == "lib/libtiny.so.1"
    assert owners[PYC].original == MODULE
    assert survey.place(PYC) == WHERE
    assert found(CHECKS, survey) == []


def test_bytecode_in_the_place_of_its_module_has_the_package_of_the_module(tmp_path: Path) -> None:
    one = package(tmp_path / "one", {f"{SITE}/a.py": b"x = 1\n", f"{SITE}/b.py": b"y = 1\n"})
    pyc = {
        name: b"\xa7\r\r\n\1\0\0\0" + importlib.util.source_hash(text)
        for name, text in (("a", b"x = 1\n"), ("b", b"y = 2\n"), ("c", b""))
    }
    files = {f"{SITE}/{name}.pyc": header for name, header in pyc.items()}
    survey = survey_of(pack(tmp_path / "z.zip", files), packages=(one,), python="3.11")
    owners = {path: (owner.original, owner.how) for path, owner in survey.owners.items()}
    assert owners == {
        f"{SITE}/a.pyc": (f"{SITE}/a.py", "compiled"),
        f"{SITE}/b.pyc": (f"{SITE}/b.py", "differs"),
    }
    assert {each.subject for each in found(CHECKS, survey)} == {f"{SITE}/b.pyc", f"{SITE}/c.pyc"}
    assert {each.subject for each in found([BYTECODE], survey)} == {f"{SITE}/b.pyc", f"{SITE}/c.pyc"}


def test_what_came_to_the_top_of_a_function_has_its_package(tmp_path: Path) -> None:
    """A function's modules are moved, its libraries outside of `python/` are not; bytecode moves with its module."""
    own = package(tmp_path / "own", {"python/app.py": b"x", "share/licenses/own": b"free"})
    wheel = package(tmp_path / "wheel", {MODULE: b"y", f"{SITE}/wheel.libs/libwheel.so.1": b"z"})
    files: Files = {
        "app.py": b"x",
        "share/licenses/own": b"free",
        "tiny/config-3.11.py": b"y",
        "tiny/__pycache__/config-3.11.cpython-311.pyc": HEADER,
        "wheel.libs/ll-wheel.so.1": b"z",
    }
    moved = {"from": f"{SITE}/wheel.libs/libwheel.so.1", "to": f"{SITE}/wheel.libs/ll-wheel.so.1"}
    path = pack(tmp_path / "z.zip", files)
    survey = survey_of(
        path, packages=(own, wheel), report={"private": [moved]}, root="/var/task", raised=(SITE, "python")
    )
    owners = survey.owners
    assert {path: (owner.package, owner.how) for path, owner in owners.items()} == {
        "app.py": ("own", "as built"),
        "share/licenses/own": ("own", "as built"),
        "tiny/config-3.11.py": ("wheel", "as built"),
        "tiny/__pycache__/config-3.11.cpython-311.pyc": ("wheel", "compiled"),
        "wheel.libs/ll-wheel.so.1": ("wheel", "as built"),
    }
    assert owners["app.py"].original == "python/app.py"
    assert owners["wheel.libs/ll-wheel.so.1"].original == f"{SITE}/wheel.libs/libwheel.so.1"
    assert survey.unpacked(moved["to"]) == "wheel.libs/ll-wheel.so.1"
    assert survey.inside("/var/task/app.py") == "app.py"
    assert found(CHECKS, survey) == []
    # Of a layer, the same files would be nobody's.
    assert set(survey_of(path, packages=(own, wheel)).owners) == {"share/licenses/own"}


def test_a_file_that_was_added_or_changed_is_an_error(tmp_path: Path) -> None:
    """What no package brought, other bytes, a link that leads elsewhere, and a link in place of a file."""
    one = package(tmp_path / "one", {"lib/a.py": b"x", "lib/b.py": b"y"})
    (one.tree / "lib" / "c").symlink_to("a.py")
    files: Files = {
        "lib/a.py": b"changed",
        "lib/b.py": (LINK, b"a.py"),
        "lib/c": (LINK, b"b.py"),
        "lib/new.py": b"z",
    }
    survey = survey_of(pack(tmp_path / "z.zip", files), packages=(one,))
    findings = found(CHECKS, survey)
    assert {each.subject for each in findings} == set(files)
    assert {each.severity for each in findings} == {Severity.ERROR}
    changed = next(each for each in findings if each.subject == "lib/a.py")
    assert changed.location == WHERE


def record(rows: dict[str, bytes]) -> bytes:
    def line(name: str, data: bytes) -> str:
        digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
        return f"{name},sha256={digest},{len(data)}\r\n"

    return "".join(
        [*(line(name, data) for name, data in rows.items()), "tiny-1.0.dist-info/RECORD,,\r\n"]
    ).encode()


def test_a_zip_from_elsewhere_is_told_by_its_records(tmp_path: Path) -> None:
    """Package and version from the folder, the hash from the row; what no record names is a note."""
    rows = {"tiny/__init__.py": b"x", '"tiny/a,b.py"': b"y", "../../../../bin/tiny": b"#!"}
    info = f"{SITE}/tiny-1.0.dist-info/RECORD"
    files: Files = {
        f"{SITE}/tiny/__init__.py": b"x",
        f"{SITE}/tiny/a,b.py": b"y",
        "bin/tiny": b"#!",
        info: record(rows),
    }
    survey = survey_of(pack(tmp_path / "z.zip", files))
    assert {path: (owner.package, owner.version) for path, owner in survey.owners.items()} == dict.fromkeys(
        files, ("tiny", "1.0")
    )
    assert found(CHECKS, survey) == []
    changed: Files = {**files, f"{SITE}/tiny/__init__.py": b"other", "lib/extra": b"?"}
    findings = {
        each.subject: each.severity for each in found(CHECKS, survey_of(pack(tmp_path / "z.zip", changed)))
    }
    assert findings == {f"{SITE}/tiny/__init__.py": Severity.WARNING, "lib/extra": Severity.NOTE}


def test_without_records_nothing_is_said(tmp_path: Path) -> None:
    """A zip that tells nothing of packages, or whose record is no table, is not blamed for each of its files."""
    assert found(CHECKS, survey_of(pack(tmp_path / "z.zip", {"lib/a": b"x"}))) == []
    broken: Files = {f"{SITE}/tiny-1.0.dist-info/RECORD": b'"a\0,,\n\xff,sha256=???,x\n', "lib/a": b"x"}
    assert found(CHECKS, survey_of(pack(tmp_path / "z.zip", broken))) == []
