"""Bills of materials, of the real layer cv-atlas, read by tools that no one here wrote."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from cyclonedx.model.bom import Bom
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from spdx_tools.spdx.model import ExternalPackageRefCategory, RelationshipType
from spdx_tools.spdx.parser.parse_anything import parse_file
from spdx_tools.spdx.validation.document_validator import validate_full_spdx_document

from layerlock.audit import sbom
from layerlock.audit.sbom import FORMATS, Format, check_sbom, write_sbom
from layerlock.errors import BadAdvisories, InvalidRecipe, StaleLock
from tests.audit.copies import ROOT, Copy

SHIPPED = {
    "pkg:deb/debian/libatlas3-base@3.10.3-10?arch=amd64&distro=bullseye",
    "pkg:deb/debian/libgfortran5@10.2.1-6?arch=amd64&distro=bullseye",
    "pkg:deb/debian/libquadmath0@10.2.1-6?arch=amd64&distro=bullseye",
    "pkg:deb/debian/libstdc%2B%2B6@10.2.1-6?arch=amd64&distro=bullseye",
    "pkg:generic/libpng@1.6.37",
    "pkg:generic/zlib@1.2.13",
    "pkg:pypi/numpy@1.24.2",
    "pkg:pypi/opencv-python-headless@4.7.0.72",
    "pkg:pypi/scipy@1.10.1",
}


@pytest.fixture
def copy(tmp_path: Path) -> Copy:
    """Copy the recipes."""
    return Copy(tmp_path)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> dict[Format, Path]:
    """Write the documents once."""
    folder = tmp_path_factory.mktemp("sbom")
    stock = Copy(folder).inventory("cv-atlas")
    paths: dict[Format, Path] = {}
    for form in FORMATS:
        # The ending by which spdx-tools knows JSON.
        paths[form] = folder / f"cv-atlas.{form}.json"
        paths[form].write_text(write_sbom(stock, form))
    return paths


def read(path: Path) -> Any:
    """Read JSON."""
    return json.loads(path.read_text())


def test_cyclonedx_is_valid_and_is_read_by_its_library(written: dict[Format, Path]) -> None:
    text = written["cyclonedx"].read_text()
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    document = json.loads(text)
    formulation = document.pop("formulation")
    bom = Bom.from_json(document)  # type: ignore[attr-defined]  # made by its serialisation decorator
    assert bom.metadata.component is not None
    assert bom.metadata.component.name == "cv-atlas"
    assert {str(c.purl) for c in bom.components if c.purl} >= SHIPPED
    bom.validate()
    (formula,) = formulation
    names = {component["name"] for component in formula["components"]}
    assert {"python", "cython", "gcc-10", "binutils", "pyelftools"} <= names
    assert "numpy" not in names


def test_debian_packages_that_ship_are_components_with_their_licences(written: dict[Format, Path]) -> None:
    components = {c["bom-ref"]: c for c in read(written["cyclonedx"])["components"]}
    gfortran, quadmath = (components[f"part:gcc-runtime:{n}"] for n in ("libgfortran5", "libquadmath0"))
    assert gfortran["licenses"] == [{"expression": "GPL-3.0-or-later WITH GCC-exception-3.1"}]
    assert quadmath["licenses"] == [{"expression": "LGPL-2.1-or-later"}]
    pins = (ROOT / "recipes/environments/bullseye.debs.toml").read_text()
    assert f'name = "libgfortran5", version = "{gfortran["version"]}"' in pins
    assert gfortran["hashes"][0]["content"] in pins
    # A package that is one Debian package and nothing else stands for it.
    assert not any(ref.startswith("part:atlas") for ref in components)
    assert components["package:atlas"]["externalReferences"][0]["url"].endswith(
        "libatlas3-base_3.10.3-10_amd64.deb"
    )


def test_patches_dependencies_and_statements(written: dict[Format, Path]) -> None:
    document = read(written["cyclonedx"])
    opencv = next(c for c in document["components"] if c["name"] == "opencv")
    patches = opencv["pedigree"]["patches"]
    assert [p["diff"]["url"] for p in patches] == [
        "patches/opencv/0001-no-kernel-version-in-build-information.patch",
        "patches/opencv/0002-no-build-folder-in-data-search.patch",
    ]
    for patch in patches:
        text = base64.b64decode(patch["diff"]["text"]["content"])
        assert text == (ROOT / patch["diff"]["url"]).read_bytes()
    assert opencv["cpe"].startswith("cpe:2.3:a:opencv:opencv:4.7.0:")
    needs = {row["ref"]: row.get("dependsOn", []) for row in document["dependencies"]}
    assert set(needs["layer:cv-atlas"]) == {c["bom-ref"] for c in document["components"]}
    assert needs["package:scipy"] == ["package:numpy"]
    assert needs["package:opencv"] == [
        "package:numpy",
        "part:opencv:libpng",
        "part:opencv:softfloat",
        "part:opencv:zlib",
    ]
    stated = {v["id"]: v for v in document["vulnerabilities"]}
    webp = stated["CVE-2023-4863"]
    assert webp["analysis"]["state"] == "not_affected"
    assert webp["analysis"]["justification"] == "code_not_present"
    assert {"ref": "package:opencv"} in webp["affects"]
    assert stated["CVE-2023-5129"]["affects"] == webp["affects"]
    assert stated["CVE-2023-45853"]["affects"] == [{"ref": "part:opencv:zlib"}]


def test_formulation_names_every_build_and_environment(written: dict[Format, Path]) -> None:
    document = read(written["cyclonedx"])
    (formula,) = document["formulation"]
    (workflow,) = formula["workflows"]
    tasks = {task["name"]: task for task in workflow["tasks"]}
    assert {"python", "numpy", "scipy", "opencv", "atlas", "gcc-runtime", "build-tools"} <= tasks.keys()
    lock = (ROOT / "lockfiles/cv-atlas.lock").read_text()
    assert all(f'planned = "{task["uid"]}"' in lock for task in tasks.values())
    known = {c["bom-ref"] for c in (*document["components"], *formula["components"])}
    assert {i["resource"]["ref"] for task in tasks.values() for i in task.get("inputs", ())} <= known
    debs = [c for c in formula["components"] if c.get("purl", "").startswith("pkg:deb/")]
    assert len(debs) > 120


def test_spdx_is_valid_and_is_read_by_its_library(written: dict[Format, Path]) -> None:
    document = parse_file(str(written["spdx"]))
    assert validate_full_spdx_document(document) == []
    located = {
        reference.locator: package
        for package in document.packages
        for reference in package.external_references
        if reference.category is ExternalPackageRefCategory.PACKAGE_MANAGER
    }
    assert located.keys() >= SHIPPED
    quadmath = located["pkg:deb/debian/libquadmath0@10.2.1-6?arch=amd64&distro=bullseye"]
    assert str(quadmath.license_declared) == "LGPL-2.1-or-later"
    contained = {
        str(r.related_spdx_element_id)
        for r in document.relationships
        if r.relationship_type is RelationshipType.CONTAINS and r.spdx_element_id == "SPDXRef-layer"
    }
    assert {located[purl].spdx_id for purl in SHIPPED} <= contained
    patched = [r for r in document.relationships if r.relationship_type is RelationshipType.PATCH_FOR]
    assert len(patched) == 6


@pytest.mark.parametrize("form", FORMATS)
def test_a_document_follows_from_recipes_and_lock_alone(written: dict[Format, Path], form: Format) -> None:
    """Another process, hash seed, time zone, folder and day: the same bytes."""
    command = [sys.executable, "-m", "layerlock", "--repo", str(ROOT), "sbom", "cv-atlas", "--format", form]
    done = subprocess.run(
        command,
        env={**os.environ, "PYTHONHASHSEED": "7", "TZ": "Asia/Tokyo"},
        capture_output=True,
        timeout=120,
        check=True,
    )
    assert done.stdout == written[form].read_bytes()
    assert b"202" not in json.dumps(read(written[form]).get("creationInfo", {}).get("created", "")).encode()
    assert "timestamp" not in read(written[form]).get("metadata", {})


def test_another_lock_gives_another_serial_number(copy: Copy, written: dict[Format, Path]) -> None:
    copy.edit("lockfiles/cv-atlas.lock", lambda text: text + "# not the same\n")
    other = json.loads(write_sbom(copy.inventory(), "cyclonedx"))
    assert other["serialNumber"] != read(written["cyclonedx"])["serialNumber"]


def test_a_patch_that_mends_is_told_so(copy: Copy) -> None:
    copy.append(
        "opencv",
        '[[vulnerabilities]]\nstatus = "patched"\nids = ["CVE-2024-0001"]\n'
        'patch = "opencv/0002-no-build-folder-in-data-search.patch"\nreason = "Made up."',
    )
    document = json.loads(write_sbom(copy.inventory(), "cyclonedx"))
    opencv = next(c for c in document["components"] if c["name"] == "opencv")
    (patch,) = (p for p in opencv["pedigree"]["patches"] if p.get("resolves"))
    assert patch["resolves"] == [{"id": "CVE-2024-0001", "type": "security"}]
    stated = next(v for v in document["vulnerabilities"] if v["id"] == "CVE-2024-0001")
    assert stated["analysis"]["state"] == "resolved_with_pedigree"
    spdx = json.loads(write_sbom(copy.inventory(), "spdx"))
    assert any(file.get("comment") == "mends CVE-2024-0001" for file in spdx["files"])


def test_recipes_that_no_document_can_be_made_of(copy: Copy) -> None:
    copy.replace("recipes/packages/scipy.toml", "BSD-3-Clause-LBNL", "Our-Own-Licence")
    with pytest.raises(InvalidRecipe, match="no SPDX expression") as raised:
        write_sbom(copy.inventory(), "spdx")
    assert raised.value.location is not None
    assert raised.value.location.file == "recipes/packages/scipy.toml"
    copy.replace("recipes/packages/gcc-runtime.toml", "libquadmath0", "libquadmath9")
    with pytest.raises(InvalidRecipe, match="`bullseye` has no Debian package `libquadmath9`"):
        copy.inventory()
    with pytest.raises(StaleLock):
        copy.inventory("cv-git")


@pytest.mark.parametrize("form", FORMATS)
def test_what_is_written_passes_the_check(written: dict[Format, Path], form: Format) -> None:
    assert check_sbom(written[form]) == form


def damaged(form: Format, path: Path, document: dict[str, Any]) -> Path:
    """Write a document that was changed."""
    place = path.parent / f"damaged-{form}.json"
    place.write_text(json.dumps(document))
    return place


def test_invalid_documents_are_refused(written: dict[Format, Path]) -> None:
    document = read(written["cyclonedx"])
    document["components"][0]["hashes"] = [{"alg": "SHA-256", "content": "short"}]
    with pytest.raises(BadAdvisories, match=r"not valid cyclonedx: components/0/hashes/0/content"):
        check_sbom(damaged("cyclonedx", written["cyclonedx"], document))
    document["specVersion"] = "9.9"
    with pytest.raises(BadAdvisories, match=r"no CycloneDX version '9.9'"):
        check_sbom(damaged("cyclonedx", written["cyclonedx"], document))
    document = read(written["spdx"])
    document["packages"][0]["SPDXID"] = "no id"
    with pytest.raises(BadAdvisories, match="not valid spdx: "):
        check_sbom(damaged("spdx", written["spdx"], document))
    document["packages"] = [7]
    with pytest.raises(BadAdvisories, match="not valid spdx: "):
        check_sbom(damaged("spdx", written["spdx"], document))


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "is not JSON"),
        (b"PK\x03\x04\xff\xfe", "is not JSON"),
        (b"[" * 200_000, "is nested too deeply"),
        (b"[]", "holds no JSON object"),
        (b'{"bomFormat": 3}', "neither a CycloneDX nor an SPDX document"),
    ],
)
def test_what_is_no_document_at_all(tmp_path: Path, data: bytes, said: str) -> None:
    path = tmp_path / "x.json"
    path.write_bytes(data)
    with pytest.raises(BadAdvisories, match=said):
        check_sbom(path)


def test_a_huge_document_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    with path.open("wb") as file:
        file.truncate(sbom.LARGEST + 1)
    with pytest.raises(BadAdvisories, match="more than 64 MiB"):
        check_sbom(path)
