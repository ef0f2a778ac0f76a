"""Licences: expressions, policy, texts, terms and the folder of notices."""

from __future__ import annotations

import io
import lzma
import tarfile
from pathlib import Path

import pytest

from layerlock.audit.expressions import licences, objections, problem
from layerlock.audit.notices import collect
from layerlock.model.findings import Severity
from layerlock.model.licences import LicenceException, LicencePolicy
from layerlock.workflows.auditing import Choice, collect_notices, make_subject
from tests.audit.conftest import DEB, SOURCE, TODAY, Shelf, sha256

POLICY = LicencePolicy(
    allowed=("MIT", "GPL-3.0-or-later WITH GCC-exception-3.1"),
    denied=("GPL-3.0-or-later",),
    exceptions=(
        LicenceException(package="gcc-runtime", licence="LGPL-2.1-or-later", reason="It can be replaced."),
    ),
)
GCC = "GPL-3.0-or-later WITH GCC-exception-3.1 AND LGPL-2.1-or-later"


@pytest.mark.parametrize(
    ("expression", "wrong"),
    [
        ("MIT", ""),
        ("(MIT OR Apache-2.0) AND Zlib", ""),
        (GCC, ""),
        ("LicenseRef-own-terms AND MIT", ""),
        ("mit", "SPDX spells it MIT"),
        ("GPL-3.0+", "SPDX spells it GPL-3.0-or-later"),
        ("BSD", "Unknown license key(s): BSD"),
        ("MIT OR", "OR requires two or more"),
        ("MIT WITH Zlib", "cannot be used as an exception"),
        ("", "it is empty"),
    ],
)
def test_expressions(expression: str, wrong: str) -> None:
    found = problem(expression)
    assert (found or "")[: len(wrong)] == wrong if not wrong else wrong in (found or "")


def test_licences_come_in_order_with_their_exceptions() -> None:
    assert licences(GCC) == ("GPL-3.0-or-later WITH GCC-exception-3.1", "LGPL-2.1-or-later")


@pytest.mark.parametrize(
    ("expression", "package", "against"),
    [
        ("MIT", "any", []),
        (GCC, "gcc-runtime", []),
        (GCC, "other", [("LGPL-2.1-or-later", "unlisted")]),
        ("GPL-3.0-or-later", "any", [("GPL-3.0-or-later", "denied")]),
        ("MIT OR GPL-3.0-or-later", "any", []),
        ("(Zlib OR GPL-3.0-or-later) AND MIT", "any", [("Zlib", "unlisted")]),
    ],
)
def test_policy(expression: str, package: str, against: list[tuple[str, str]]) -> None:
    found = objections(expression, POLICY, package)
    assert [(each.licence, each.standing) for each in found] == against


def test_an_invalid_expression_is_named_with_its_line(locked: Shelf) -> None:
    assert locked.found("licences") == []
    locked.edit("recipes/packages/python.toml", "Python-2.0.1", "Python")
    (finding,) = locked.found("licences")
    assert finding.check == "licence-expression"
    assert finding.location is not None
    assert (finding.location.file, finding.location.line) == ("recipes/packages/python.toml", 4)


def test_what_ships_is_held_against_the_policy_and_what_builds_is_not(locked: Shelf) -> None:
    locked.edit("recipes/packages/python.toml", "Python-2.0.1", "AGPL-3.0-only")
    assert locked.found("licence-policy") == []
    locked.edit("recipes/packages/hello.toml", '"MIT"', '"AGPL-3.0-only AND Zlib"')
    found = [(finding.subject, finding.severity) for finding in locked.found("licence-policy")]
    assert found == [("hello", Severity.ERROR), ("hello", Severity.WARNING)]


PART = """
[[contains]]
kind = "bundled"
name = "inflate"
version = "1.3"
license = "{licence}"

[build]
"""


def with_part(shelf: Shelf, package: str, licence: str) -> None:
    """Write into a recipe that somebody else's code is compiled in."""
    shelf.edit(f"recipes/packages/{package}.toml", "[build]\n", PART.format(licence=licence))


def test_the_licence_of_a_part_that_is_no_expression_is_named_with_its_line(locked: Shelf) -> None:
    with_part(locked, "python", "Zlib-like")
    (finding,) = locked.found("licences")
    assert finding.check == "licence-expression" and "inflate in python, 'Zlib-like'" in finding.message
    assert finding.location is not None and finding.location.path == "contains[0].license"
    lines = (locked.root / finding.location.file).read_text().splitlines()
    assert finding.location.line is not None and "Zlib-like" in lines[finding.location.line - 1]


def test_parts_of_what_ships_are_held_against_the_policy(locked: Shelf) -> None:
    with_part(locked, "python", "AGPL-3.0-only")
    with_part(locked, "hello", "MIT")
    assert locked.found("licence-policy") == []
    locked.edit(
        "recipes/packages/hello.toml", 'version = "1.3"\nlicense = "MIT"', 'version = "1.3"\nlicense = "Zlib"'
    )
    (finding,) = locked.found("licence-policy")
    assert (finding.subject, finding.severity) == ("hello", Severity.WARNING)
    assert finding.message.startswith("inflate in hello ships under Zlib, which ")
    assert finding.location is not None and finding.location.path == "contains[0].license"
    policy = locked.root / "recipes/licences.toml"
    exception = '[[exceptions]]\npackage = "hello"\nlicence = "Zlib"\nreason = "It asks nothing."\n'
    policy.write_text(policy.read_text() + exception)
    assert locked.found("licence-policy") == []


def test_what_the_licence_of_a_part_asks_is_said(locked: Shelf) -> None:
    with_part(locked, "hello", "MIT")
    assert locked.found("licence-terms") == []
    locked.edit(
        "recipes/packages/hello.toml",
        'version = "1.3"\nlicense = "MIT"',
        'version = "1.3"\nlicense = "LGPL-2.1-or-later"',
    )
    (finding,) = locked.found("licence-terms")
    assert finding.message.startswith("hello ships under LGPL-2.1-or-later. ")


def test_a_missing_policy_and_a_needless_exception(locked: Shelf) -> None:
    path = locked.root / "recipes/licences.toml"
    path.write_text(
        path.read_text() + '[[exceptions]]\npackage = "hello"\nlicence = "Zlib"\nreason = "Old."\n'
    )
    (finding,) = locked.found("licence-policy")
    assert finding.location is not None and finding.location.line == 3
    path.unlink()
    (finding,) = locked.found("licence-policy")
    assert finding.severity is Severity.NOTE


def test_a_package_without_its_licence_text(locked: Shelf) -> None:
    locked.build({"lib/hello": "x"}, {"lib/hello": "x"}, {})
    (finding,) = locked.found("licence-texts")
    assert "no licence text of hello (MIT)" in finding.message


def test_a_package_with_its_licence_text(locked: Shelf) -> None:
    text = {"share/licenses/hello/LICENSE": "Permission is hereby granted"}
    locked.build(text, text, {})
    assert locked.found("licence-texts") == []


LGPL = "GNU LESSER GENERAL PUBLIC LICENSE\nVersion 2.1, February 1999\n" + "terms " * 2000


def test_a_mention_of_a_licence_is_not_its_text(shelf: Shelf) -> None:
    shelf.edit("recipes/packages/hello.toml", '"MIT"', '"LGPL-2.1-or-later"')
    mention = {"share/licenses/hello/copyright": "See /usr/share/common-licenses/LGPL-2.1\n"}
    shelf.build(mention, mention, {})
    (finding,) = shelf.found("licence-texts")
    assert "LGPL-2.1-or-later, whose text is not in the layer" in finding.message
    (finding,) = shelf.found("licence-terms")
    assert "can replace" in finding.message and "pinned sources" in finding.message
    whole = {"share/licenses/hello/copyright": LGPL}
    shelf.build(whole, whole, {})
    assert shelf.found("licence-texts") == []


def test_terms_of_what_is_copied_from_debian_name_its_source_package(locked: Shelf) -> None:
    assert locked.found("licence-terms") == []
    text = (locked.root / "recipes/packages/hello.toml").read_text()
    head, _, rest = text.partition("[[sources]]")
    head = head.replace("MIT", GCC)
    head = head.replace("pkg:generic/hello@1.0", "pkg:deb/debian/bash@5.1-2?arch=amd64&distro=bullseye")
    locked.write("recipes/packages/hello.toml", head + rest[rest.index("[build]") :])
    gpl, lgpl = locked.found("licence-terms")
    assert "the Debian source package bash 5.1-2" in gpl.message
    assert "(GPL-3, section 6)" in gpl.message and "(LGPL-2.1, sections 4 and 6)" in lgpl.message


def archive(files: dict[str, str]) -> bytes:
    """Pack a tar."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        for name, text in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(text)
            tar.addfile(info, io.BytesIO(text.encode()))
    return packed.getvalue()


def deb(files: dict[str, str]) -> bytes:
    """Pack a .deb."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for name, text in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(text)
            tar.addfile(info, io.BytesIO(text.encode()))
    data = lzma.compress(packed.getvalue())
    members = (
        ("debian-binary", b"2.0\n"),
        ("control.tar.xz", lzma.compress(b"\0" * 1024)),
        ("data.tar.xz", data),
    )
    made = b"!<arch>\n"
    for name, body in members:
        made += f"{name:<16}{0:<12}{0:<6}{0:<6}{'100644':<8}{len(body):<10}`\n".encode() + body
        made += b"\n" * (len(body) % 2)
    return made


def add(shelf: Shelf, data: bytes, name: str) -> None:
    """Put a file into the store."""

    def fill(path: Path) -> None:
        path.write_bytes(data)

    shelf.driver().store.add_file(sha256(data), name, fill)


def test_notices_come_from_outputs_and_sources(shelf: Shelf, tmp_path: Path) -> None:
    source = archive(
        {
            "hello-1.0/LICENSE": "of the source",
            "hello-1.0/hello.c": "int main;",
            "hello-1.0/vendor/deep/LICENSE": "not built",
            "../LICENSE": "outside",
        }
    )
    shelf.edit("recipes/packages/hello.toml", sha256(SOURCE), sha256(source))
    text = {"share/licenses/hello/COPYING": "of the layer"}
    shelf.build(text, text, {})
    add(shelf, source, "hello.tar.gz")
    choice = Choice(today=TODAY)
    (done,) = collect_notices(shelf.driver(), ("demo",), choice, tmp_path / "notices")
    assert (done.texts, done.missing) == (2, ())
    top = tmp_path / "notices" / "demo"
    written = {
        path.relative_to(top).as_posix(): path.read_text() for path in top.rglob("*") if path.is_file()
    }
    index = written.pop("NOTICES.md")
    assert written == {
        "hello/layer/share/licenses/hello/COPYING": "of the layer",
        "hello/source/LICENSE": "of the source",
    }
    assert "## hello 1.0" in index and f"sha256 {sha256(source)}" in index
    before = index
    collect_notices(shelf.driver(), ("demo",), choice, tmp_path / "notices")
    assert (top / "NOTICES.md").read_text() == before


def test_notices_of_what_is_copied_from_debian_come_from_its_packages(shelf: Shelf) -> None:
    package = deb({"./usr/share/doc/bash/copyright": "GCC RUNTIME LIBRARY EXCEPTION"})
    base = deb(
        {
            "./usr/share/common-licenses/LGPL-2.1": LGPL,
            "./usr/share/common-licenses/GPL-3": "GNU GENERAL PUBLIC LICENSE\nVersion 3\n" + "terms " * 2000,
            "./usr/share/common-licenses/Artistic": "not asked for",
        }
    )
    pins = shelf.root / "recipes/environments/root.debs.toml"
    pool = "debian:debian/pool/main/b/base-files"
    row = f'{{ name = "base-files", version = "11", path = "{pool}/b.deb", sha256 = "{sha256(base)}", size = 4 }}'
    pins.write_text(pins.read_text().replace(sha256(DEB), sha256(package)).replace("\n]", f"\n  {row},\n]"))
    text = (shelf.root / "recipes/packages/hello.toml").read_text()
    head, _, rest = text.partition("[[sources]]")
    head = head.replace("MIT", GCC)
    head = head.replace("pkg:generic/hello@1.0", "pkg:deb/debian/bash@5.1-2?arch=source&distro=bullseye")
    shelf.write("recipes/packages/hello.toml", head + rest[rest.index("[build]") :])
    shelf.lock()
    add(shelf, package, "bash.deb")
    add(shelf, base, "base-files.deb")
    (notices,) = collect(make_subject(shelf.driver(), "demo", Choice(today=TODAY)))
    assert [name for name, _ in notices.texts] == [
        "common/GPL-3",
        "common/LGPL-2.1",
        "debian/bash/copyright",
    ]
