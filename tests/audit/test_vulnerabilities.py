"""The checks of vulnerabilities and identities: each fires on a planted defect and is silent without it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from layerlock.audit.advisories import Dump
from layerlock.audit.beside import PROVENANCE
from layerlock.audit.identities import CPE, PARTS, PURL, UNNAMED
from layerlock.audit.vulnerabilities import (
    STATEMENT_OUTLIVED,
    STATEMENT_UNFOUNDED,
    VULNERABLE,
    VULNERABLE_TOOL,
)
from layerlock.model.findings import Finding, Severity
from layerlock.workflows.documents import write_provenance
from layerlock.workflows.planning import load_layer
from tests.audit.copies import Copy
from tests.audit.records import EVER, Record, debian, generic, pypi, record, serve, write_folder
from tests.io.servers import serving


@pytest.fixture
def copy(tmp_path: Path) -> Copy:
    """Copy the recipes."""
    return Copy(tmp_path)


@pytest.fixture
def dump(tmp_path: Path) -> Path:
    """Give the folder of a dump, with one record about something else."""
    return write_folder(tmp_path / "osv", record("X-0", pypi("django", EVER)))


def vulnerable(copy: Copy, dump: Path, *records: Record) -> list[Finding]:
    """Look what ships up in a dump."""
    return copy.findings(VULNERABLE, advisories=Dump(write_folder(dump, *records)))


def test_what_ships_is_looked_up(copy: Copy, dump: Path) -> None:
    assert vulnerable(copy, dump) == []
    assert vulnerable(copy, dump, record("CVE-2099-1", pypi("numpy", EVER, {"fixed": "1.24.2"}))) == []
    (found,) = vulnerable(
        copy,
        dump,
        record(
            "PYSEC-2099-1", pypi("numpy", EVER, {"fixed": "1.25.0"}), aliases=["CVE-2099-1"], summary="Bad."
        ),
    )
    assert found.severity is Severity.ERROR
    assert found.subject == "CVE-2099-1"
    assert found.message == "CVE-2099-1 (PYSEC-2099-1) affects numpy 1.24.2: Bad."
    assert found.hint.startswith("move to 1.25.0, or later; or state in [[vulnerabilities]]")
    assert found.location is not None
    assert (found.location.file, found.location.line) == ("recipes/packages/numpy.toml", 1)


def test_without_a_database_nothing_is_looked_up(copy: Copy) -> None:
    for check in (VULNERABLE, VULNERABLE_TOOL, STATEMENT_OUTLIVED):
        assert copy.findings(check) == []


def test_withdrawn_records_do_not_count(copy: Copy, dump: Path) -> None:
    entry = pypi("scipy", EVER)
    assert vulnerable(copy, dump, record("CVE-2099-2", entry, withdrawn="2099-01-01T00:00:00Z")) == []
    assert len(vulnerable(copy, dump, record("CVE-2099-2", entry))) == 1


def test_aliases_are_one_vulnerability(copy: Copy, dump: Path) -> None:
    (found,) = vulnerable(
        copy,
        dump,
        record("GHSA-2222-2222-2222", pypi("numpy", EVER, {"fixed": "2.0"}), aliases=["CVE-2099-3"]),
        record("PYSEC-2099-3", pypi("numpy", EVER), aliases=["CVE-2099-3"], summary="Told once."),
        record("CVE-2099-3", pypi("numpy", {"introduced": "9"})),
    )
    assert found.message == (
        "CVE-2099-3 (GHSA-2222-2222-2222, PYSEC-2099-3) affects numpy 1.24.2: Told once."
    )


def test_debian_packages_by_source_and_release(copy: Copy, dump: Path) -> None:
    copy.layer = "cv-atlas"
    mended = {"fixed": "10.2.1-6+deb11u1"}
    assert vulnerable(copy, dump, record("CVE-2099-4", debian("gcc-10", EVER, mended, release="12"))) == []
    (found,) = vulnerable(copy, dump, record("DEBIAN-CVE-2099-4", debian("gcc-10", EVER, mended)))
    # Once for the recipe, whichever of its Debian packages are named.
    assert "libgfortran5 10.2.1-6" in found.message
    assert "libquadmath0 10.2.1-6" in found.message
    found, _ = vulnerable(copy, dump, record("DEBIAN-CVE-2099-3", debian("atlas", EVER)))
    assert found.message == "DEBIAN-CVE-2099-3 affects atlas 3.10.3"


def test_bundled_libraries_by_package_url(copy: Copy, dump: Path) -> None:
    (found,) = vulnerable(
        copy, dump, record("OSV-2099-1", generic("libpng", versions=["v1.6.36", "v1.6.37"]))
    )
    assert found.message == "OSV-2099-1 affects libpng 1.6.37"
    assert found.location is not None
    assert found.location.path == "contains[0]"


WEBP = record(
    "GHSA-qr4w-53vh-m672",
    pypi("opencv-python-headless", EVER, {"fixed": "4.8.1.78"}),
    aliases=["CVE-2023-4863"],
    summary="The wheels bundle libwebp",
)


def test_what_a_recipe_states_settles_it(copy: Copy, dump: Path) -> None:
    """Of the real recipe: its ready-made wheels carry a libwebp with a hole, the layer carries none."""
    assert vulnerable(copy, dump, WEBP) == []
    copy.replace("recipes/packages/opencv.toml", '"CVE-2023-4863", "CVE-2023-5129"', '"CVE-2023-5129"')
    assert [found.subject for found in vulnerable(copy, dump)] == ["CVE-2023-4863"]


def test_a_statement_covers_what_it_names(copy: Copy, dump: Path) -> None:
    records = record("DSA-9999-1", debian("gcc-10", EVER), upstream=["CVE-2099-6", "CVE-2099-7"])
    stated = (
        '[[vulnerabilities]]\nstatus = "not-affected"\njustification = "code_not_present"\nreason = "x"\n'
    )
    copy.append("gcc-runtime", f'{stated}ids = ["CVE-2099-6", "CVE-2099-7"]\npart = "libquadmath0"')
    # Its other parts have it too.
    assert len(vulnerable(copy, dump, records)) == 1
    copy.append("gcc-runtime", f'{stated}ids = ["CVE-2099-6"]')
    # It gathers two, of which one is settled.
    assert len(vulnerable(copy, dump)) == 1
    copy.replace("recipes/packages/gcc-runtime.toml", '-6"]', '-6", "CVE-2099-7"]')
    assert vulnerable(copy, dump) == []


def test_a_server_is_asked_once_for_all_layers(copy: Copy) -> None:
    with serving() as server:
        serve(server, [record("CVE-2099-1", pypi("numpy", EVER))])
        done = copy.run("audit", "cv", "cv-small", "--only", "vulnerable", "--osv", server.url(""))
        assert done.returncode == 28, done.stderr
        assert done.stdout.count("CVE-2099-1 affects numpy 1.24.2") == 1
        assert [path for path, _ in server.requests] == ["/v1/querybatch", "/v1/vulns/CVE-2099-1"]


def test_the_verb_with_a_dump(copy: Copy, dump: Path) -> None:
    asked = ("audit", "cv", "--only", "vulnerabilities", "--osv", str(dump))
    done = copy.run(*asked)
    assert (done.returncode, "not looked up" in done.stdout) == (0, False), done.stderr
    (dump / "y.json").write_text("{")
    done = copy.run(*asked)
    assert (done.returncode, done.stdout) == (30, "")
    assert "y.json is no OSV record, or cut short" in done.stderr
    assert "not looked up" in copy.run("audit", "cv", "--only", "vulnerabilities").stdout


def test_what_only_builds_is_a_note(copy: Copy, dump: Path) -> None:
    records = [record(f"PYSEC-2099-{n}", pypi("setuptools", EVER, {"fixed": "65.5.1"})) for n in range(5)]
    write_folder(dump, *records)
    assert vulnerable(copy, dump) == []
    (found,) = copy.findings(VULNERABLE_TOOL, advisories=Dump(dump))
    assert found.severity is Severity.NOTE
    assert found.message == (
        "setuptools 59.2.0, which helps to build and does not ship, is affected by "
        "PYSEC-2099-0, PYSEC-2099-1, PYSEC-2099-2 and 2 more"
    )
    write_folder(dump, *(record(r["id"], pypi("setuptools", EVER, {"fixed": "59"})) for r in records))
    assert copy.findings(VULNERABLE_TOOL, advisories=Dump(dump)) == []


def test_a_statement_that_is_not_needed_any_more(copy: Copy, dump: Path) -> None:
    write_folder(dump, WEBP)
    assert copy.findings(STATEMENT_OUTLIVED, advisories=Dump(dump)) == []
    older = record(
        WEBP["id"], pypi("opencv-python-headless", EVER, {"fixed": "4.7"}), aliases=WEBP["aliases"]
    )
    write_folder(dump, older)
    (found,) = copy.findings(STATEMENT_OUTLIVED, advisories=Dump(dump))
    assert found.message == "opencv 4.7.0.72 does not have CVE-2023-4863 in any case"
    assert found.location is not None
    assert found.location.path == "vulnerabilities[0]"


@pytest.mark.parametrize(
    ("stated", "said"),
    [
        (
            'status = "patched"\nids = ["CVE-1-1"]\npatch = "scipy/no.patch"',
            "does not apply `scipy/no.patch`",
        ),
        (
            'status = "not-affected"\nids = []\njustification = "code_not_present"\nreason = "x"',
            "names no vuln",
        ),
        (
            'status = "not-affected"\nids = ["a b"]\njustification = "code_not_present"\nreason = "x"',
            "'a b' is no",
        ),
        (
            'status = "not-affected"\nids = ["C-1"]\njustification = "code_not_present"\nreason = " "',
            "no reason",
        ),
        (
            'status = "not-affected"\nids = ["C-1"]\njustification = "code_not_present"\nreason = "x"\npart = "qhul"',
            "scipy has no part `qhul`",
        ),
    ],
)
def test_statements_that_stand_on_nothing(copy: Copy, stated: str, said: str) -> None:
    assert copy.findings(STATEMENT_UNFOUNDED) == []
    copy.append("scipy", f"[[vulnerabilities]]\n{stated}")
    (found,) = copy.findings(STATEMENT_UNFOUNDED)
    assert said in found.message
    assert found.location is not None
    assert found.location.file == "recipes/packages/scipy.toml"


@pytest.mark.parametrize(
    ("purl", "said"),
    [
        ("numpy@1.24.2", "is no package URL"),
        ("pkg:pypi/numpy", "names no version"),
        ("pkg:pypi/numpy@1.24.1", "is of version 1.24.1, the recipe of 1.24.2"),
    ],
)
def test_package_urls(copy: Copy, purl: str, said: str) -> None:
    assert copy.findings(PURL) == []
    copy.replace("recipes/packages/numpy.toml", "pkg:pypi/numpy@1.24.2", purl)
    (found,) = copy.findings(PURL)
    assert said in found.message


def test_package_urls_of_parts_and_of_debian(copy: Copy) -> None:
    copy.layer = "cv-atlas"
    copy.replace("recipes/packages/opencv.toml", "pkg:generic/zlib@1.2.13", "pkg:generic/zlib@1.2.12")
    copy.replace("recipes/packages/atlas.toml", "@3.10.3-10", "@1:3.10.2-10")
    assert {found.subject for found in copy.findings(PURL)} == {"opencv", "atlas"}


def test_cpe_names(copy: Copy) -> None:
    assert copy.findings(CPE) == []
    copy.replace(
        "recipes/packages/opencv.toml", "cpe:2.3:a:zlib:zlib:1.2.13:*:*:*:*:*:*:*", "cpe:/a:zlib:zlib"
    )
    (found,) = copy.findings(CPE)
    assert found.location is not None
    assert found.location.path == "contains[2].cpe"


def test_what_ships_has_a_package_url(copy: Copy) -> None:
    assert copy.findings(UNNAMED) == []
    copy.replace("recipes/packages/numpy.toml", 'purl = "pkg:pypi/numpy@1.24.2"\n', "")
    copy.replace("recipes/packages/python.toml", 'purl = "pkg:generic/python@3.11.2"\n', "")
    assert [found.subject for found in copy.findings(UNNAMED)] == ["numpy"]


def test_what_is_copied_out_of_the_environment_is_named(copy: Copy) -> None:
    copy.layer = "cv-atlas"
    assert copy.findings(PARTS) == []
    copy.replace("recipes/packages/gcc-runtime.toml", '"libquadmath0"', '"libquadmath9"')
    (found,) = copy.findings(PARTS)
    assert found.message == "the environment `bullseye` has no Debian package `libquadmath9`"
    # What cannot be listed is not looked up, and does not end the audit either.
    assert copy.findings(VULNERABLE, advisories=Dump(copy.root)) == []
    copy.edit(
        "recipes/packages/atlas.toml",
        lambda text: text.replace(text[text.index("[[contains]]") : text.index("[build]")], ""),
    )
    assert [(f.subject, f.severity) for f in copy.findings(PARTS)] == [
        ("atlas", Severity.WARNING),
        ("gcc-runtime", Severity.ERROR),
    ]


def test_provenance_that_speaks_of_something_else(copy: Copy) -> None:
    dist = copy.root / "dist"
    dist.mkdir()
    assert copy.findings(PROVENANCE) == []
    lock, plan, _ = load_layer(copy.driver(), "cv")
    assert lock.zip is not None
    path = write_provenance(copy.driver(), lock, plan, dist / "cv.zip", lock.zip.sha256, {})
    assert copy.findings(PROVENANCE) == []
    copy.edit("lockfiles/cv.lock", lambda text: f"{text}# another\n")
    assert [found.message for found in copy.findings(PROVENANCE)] == ["it was written by another lock"]
    path.write_text(path.read_text().replace(lock.zip.sha256, "0" * 64))
    assert [f.message for f in copy.findings(PROVENANCE)] == [
        "it speaks of another zip than the lock records"
    ]
    path.write_text(json.dumps({"_type": "x"}))
    (found,) = copy.findings(PROVENANCE)
    assert found.severity is Severity.ERROR
