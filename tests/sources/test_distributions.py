"""Which file of a project a recipe is started from, and what files say of themselves: nothing of them is run."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from layerlock.audit.declared import declared
from layerlock.errors import Unresolvable, UnsafeArchive, UsageError
from layerlock.sources.candidates import candidate, read_requirement
from layerlock.sources.distributions import LEGACY, read_source, read_wheel
from layerlock.sources.origins import Origins
from layerlock.sources.target import Target
from tests.sources.web import served_web
from tests.sources.wheels import Index, metadata_of, wheel_of

TARGET = Target(python="3.11", architecture="x86_64", glibc="2.26")
OSI = "License :: OSI Approved ::"
BSD = "Redistribution and use in source and binary forms, with or without\nmodification, are permitted"


def source_of(files: Mapping[str, str]) -> bytes:
    """Make a source distribution; a text that begins with `-> ` is a link."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w:gz") as archive:
        for name, text in files.items():
            info = tarfile.TarInfo(f"project-1.0/{name}")
            if text.startswith("-> "):
                info.type, info.linkname = tarfile.SYMTYPE, text[3:]
                archive.addfile(info)
            else:
                info.size = len(text.encode())
                archive.addfile(info, io.BytesIO(text.encode()))
    return made.getvalue()


@pytest.mark.parametrize(
    ("wanted", "only", "filename"),
    [
        ("project", None, "project-2.0-py3-none-any.whl"),
        ("project<2", None, "project-1.5.tar.gz"),
        ("project<2", "wheel", "project-1.5-cp311-cp311-manylinux_2_17_x86_64.whl"),
        ("project==2.0", "source", None),
        ("project==3.0", None, "project-3.0-py3-none-any.whl"),  # yanked, and asked for by ==
        ("project>=4", None, None),  # for another Python
        ("project==0.9", None, None),  # for a newer C library, and without a source
        ("project==5.0", None, None),  # the index states no hash
    ],
)
def test_the_file_to_start_from(tmp_path: Path, wanted: str, only: str | None, filename: str | None) -> None:
    with served_web(tmp_path / "web") as web:
        index = Index(web)
        index.add("project", "0.9", tag="cp311-cp311-manylinux_2_28_x86_64")
        index.add("project", "1.5", tag="cp311-cp311-manylinux_2_17_x86_64")
        index.add("project", "2.0")
        index.add("project", "3.0", yanked="broken")
        index.add("project", "4.0", python=">=3.12")
        for name in ("project-1.5.zip", "project-1.5.tar.gz"):
            index.put("project", name, b"never opened", "0" * 64)
        index.put("project", "project-5.0.tar.gz", b"never opened", "")
        origins = Origins.of_host({"PIP_INDEX_URL": index.url, "PIP_CONFIG_FILE": "/dev/null"}, root=tmp_path)
        requirement = read_requirement(wanted)
        if filename is None:
            with pytest.raises(Unresolvable, match=r"for Python 3\.11 on x86_64"):
                candidate(origins, requirement, TARGET, only)  # type: ignore[arg-type]
        else:
            assert candidate(origins, requirement, TARGET, only).filename == filename  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "text", ["", "project=1", "project @ https://example.org/x.whl", "project; os_name=='nt'"]
)
def test_what_cannot_be_started_from(text: str) -> None:
    with pytest.raises(UsageError):
        read_requirement(text)


def test_a_source_says_what_builds_it(tmp_path: Path) -> None:
    metadata = metadata_of("project", "1.0", ["other>=1", "tested; extra == 'test'"]).decode()
    files = {
        "PKG-INFO": f"{metadata.rstrip()}\nSummary: Does\n something\nHome-page: https://example.org\nLicense: MIT\n\n",
        "pyproject.toml": '[build-system]\nrequires = ["flit-core>=3"]\nbuild-backend = "flit_core.buildapi"\n',
        "LICENSE.txt": "As you like",
        "setup.py": "raise SystemExit('this is never run')",
        "src/project/__init__.py": "",
        "tests/__init__.py": "",
    }
    archive = tmp_path / "project-1.0.tar.gz"
    archive.write_bytes(source_of(files))
    (tmp_path / "out").mkdir()
    found = read_source(archive, tmp_path / "out")
    assert (found.summary, found.homepage, found.text) == ("Does something", "https://example.org", "MIT")
    assert (found.build_requires, found.backend) == (("flit-core>=3",), "flit_core.buildapi")
    assert found.modules == ("project",)
    assert found.terms == ("As you like",)
    assert found.requires == ("other>=1", "tested; extra == 'test'")


@pytest.mark.parametrize(
    "files",
    [
        {"setup.py": ""},
        {"pyproject.toml": "[project]\nname = 'project'\n"},
        {"pyproject.toml": "this is not TOML"},
        {"pyproject.toml": "[build-system]\nrequires = 'setuptools'\n"},
        {"pyproject.toml": "-> PKG-INFO", "PKG-INFO": "[build-system]\nrequires = ['evil']\n"},
    ],
)
def test_a_source_that_says_nothing_is_built_by_setuptools(tmp_path: Path, files: dict[str, str]) -> None:
    archive = tmp_path / "project-1.0.tar.gz"
    archive.write_bytes(source_of({**files, "project.egg-info/top_level.txt": "_x\nproject\n"}))
    (tmp_path / "out").mkdir()
    found = read_source(archive, tmp_path / "out")
    assert (found.build_requires, found.backend) == (LEGACY, "setuptools.build_meta:__legacy__")
    assert found.modules == ("project",)


def test_a_source_that_leads_out_is_refused(tmp_path: Path) -> None:
    archive = tmp_path / "project-1.0.tar.gz"
    archive.write_bytes(source_of({"PKG-INFO": "-> ../../../etc/passwd"}))
    (tmp_path / "out").mkdir()
    with pytest.raises(UnsafeArchive):
        read_source(archive, tmp_path / "out")


def test_a_wheel_says_what_it_lets_be_imported(tmp_path: Path) -> None:
    path = tmp_path / f"{'0' * 64}-w.whl"
    path.write_bytes(wheel_of("some-project", "1.0", metadata_of("some-project", "1.0", ["other"])))
    found = read_wheel(path)
    assert (found.modules, found.requires, found.build_requires) == (("some_project",), ("other",), ())
    path.write_bytes(b"no zip")
    with pytest.raises(UnsafeArchive, match=r"w\.whl is no wheel"):
        read_wheel(path)


@pytest.mark.parametrize(
    ("expression", "text", "classifiers", "terms", "licence"),
    [
        ("MIT OR Apache-2.0", "whatever", (), (), "MIT OR Apache-2.0"),
        ("", "BSD-3-Clause", (), (), "BSD-3-Clause"),
        ("", "Apache 2.0", (), (), "Apache-2.0"),
        ("", "see LICENSE", (f"{OSI} MIT License",), (), "MIT"),
        ("", "BSD", (f"{OSI} BSD License",), (BSD,), "BSD-2-Clause"),
        ("", "", (f"{OSI} BSD License",), (f"{BSD} ... endorse or promote products",), "BSD-3-Clause"),
        ("", "", (f"{OSI} BSD License",), (BSD, BSD), None),
        ("", "", (f"{OSI} BSD License",), (), None),
        ("", "", (f"{OSI} MIT License", f"{OSI} Apache Software License"), (), None),
        ("", "", ("License :: OSI Approved",), (), None),
        ("no expression", "Use it well", (), (), None),
    ],
)  # fmt: skip
def test_the_licence_that_metadata_declares(
    expression: str, text: str, classifiers: tuple[str, ...], terms: tuple[str, ...], licence: str | None
) -> None:
    assert declared(expression, text, classifiers, terms) == licence
