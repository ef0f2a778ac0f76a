"""Where pip looks, by its files and variables."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from layerlock.sources.pip_configuration import PipConfiguration, read_pip_configuration


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def read(tmp_path: Path, **variables: str) -> PipConfiguration:
    given = {"HOME": str(tmp_path / "home"), **variables}
    return read_pip_configuration(given, root=tmp_path / "root", prefix=tmp_path / "venv")


def test_without_any_configuration_the_default_index_counts(tmp_path: Path) -> None:
    assert read(tmp_path) == PipConfiguration(indexes=(None,), places=())


def test_later_files_overrule_earlier_ones_and_variables_all_of_them(tmp_path: Path) -> None:
    write(
        tmp_path / "root/etc/pip.conf", "[global]\nindex-url = https://system/simple\nfind-links = /wheels\n"
    )
    assert read(tmp_path).indexes == ("https://system/simple",)
    write(tmp_path / "home/.config/pip/pip.conf", "[global]\nindex_url = https://user/simple\n")
    assert read(tmp_path) == PipConfiguration(indexes=("https://user/simple",), places=("/wheels",))
    write(tmp_path / "venv/pip.conf", "[global]\nindex-url = https://venv/simple\n")
    assert read(tmp_path).indexes == ("https://venv/simple",)
    write(tmp_path / "own.conf", "[global]\nindex-url = https://own/simple\n")
    own = {"PIP_CONFIG_FILE": str(tmp_path / "own.conf")}
    assert read(tmp_path, **own).indexes == ("https://own/simple",)
    assert read(tmp_path, **own, PIP_INDEX_URL="https://variable/simple").indexes == (
        "https://variable/simple",
    )


def test_the_section_of_install_overrules_the_global_one(tmp_path: Path) -> None:
    write(tmp_path / "root/etc/pip.conf", "[install]\nindex-url = https://install/simple\n")
    write(tmp_path / "venv/pip.conf", "[global]\nindex-url = https://venv/simple\n")
    assert read(tmp_path).indexes == ("https://install/simple",)


def test_several_indexes_and_places(tmp_path: Path) -> None:
    write(
        tmp_path / "root/etc/pip.conf",
        "[global]\nextra-index-url =\n    https://one/simple\n    file:///srv/simple\nfind-links = /a file:///b\n",
    )
    assert read(tmp_path) == PipConfiguration(
        indexes=(None, "https://one/simple", "file:///srv/simple"), places=("/a", "file:///b")
    )


def test_no_index_leaves_the_places(tmp_path: Path) -> None:
    write(tmp_path / "root/etc/pip.conf", "[global]\nno-index = yes\nfind-links = /wheels\n")
    assert read(tmp_path) == PipConfiguration(indexes=(), places=("/wheels",))


def test_the_null_device_as_configuration_switches_all_files_off(tmp_path: Path) -> None:
    write(tmp_path / "root/etc/pip.conf", "[global]\nindex-url = https://system/simple\n")
    assert read(tmp_path, PIP_CONFIG_FILE=os.devnull).indexes == (None,)


@pytest.mark.parametrize("text", ["no section = 1\n", "[global]\nindex-url\n", "\xff\xfe"])
def test_a_broken_file_counts_as_absent(tmp_path: Path, text: str) -> None:
    path = tmp_path / "root/etc/pip.conf"
    path.parent.mkdir(parents=True)
    path.write_bytes(text.encode("latin-1"))
    assert read(tmp_path).indexes == (None,)
