"""`pylock.toml`: what others wrote is read by the specification, and what is written here comes back the same."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

from layerlock.errors import BadPylock, HashMismatch, LayerlockError, Offline, Unresolvable
from layerlock.events import silent
from layerlock.model.ports import SourceStore
from layerlock.plan.requirements import Asked
from layerlock.sources.fetch import Reach
from layerlock.sources.pylock import LockedWheel, read_pylock, write_pylock
from layerlock.sources.target import Target
from layerlock.sources.wheel_pins import pin_pylock, pin_wheels
from tests.sources.web import Web
from tests.sources.wheels import Index

TARGET = Target(python="3.9", architecture="arm64", glibc="2.26")
ASKED = Asked(
    python="3.9", architecture="arm64", glibc="2.26", wants=("app", "base"), pylock=None, without=()
)
A, B = "a" * 64, "b" * 64
HEAD = 'lock-version = "1.0"\ncreated-by = "someone else\'s tool"\n'


def wheel(name: str, sha256: str, extra: str = "") -> str:
    return f'{{ name = "{name}", url = "https://files.invalid/{name}", hashes = {{ sha256 = "{sha256}" }}{extra} }}'


def package(name: str, *wheels: str, version: str = "1.0", extra: str = "") -> str:
    listed = f"wheels = [{', '.join(wheels)}]\n" if wheels else ""
    return f'[[packages]]\nname = "{name}"\nversion = "{version}"\n{extra}{listed}'


APP = package("app", wheel("app-1.0-py3-none-any.whl", A))


def read(text: str, without: tuple[str, ...] = ()) -> list[tuple[str, str]]:
    found = read_pylock((HEAD + text).encode(), "recipes/pylock.toml", TARGET, frozenset(without))
    return [(wheel.file, wheel.sha256) for wheel, _ in found]


def test_wheels_are_chosen_by_tags_and_packages_by_markers() -> None:
    text = package(
        "numpy",
        wheel("numpy-1.0-cp39-cp39-manylinux_2_28_aarch64.whl", "1" * 64),
        wheel("numpy-1.0-cp39-cp39-manylinux_2_17_aarch64.whl", "2" * 64),
        wheel("numpy-1.0-cp39-cp39-manylinux_2_17_x86_64.whl", "3" * 64),
        wheel("numpy-1.0-py3-none-any.whl", "4" * 64),
    )
    text += package(
        "old", wheel("old-1.0-py3-none-any.whl", A), extra="marker = \"python_version < '3.10'\"\n"
    )
    text += package(
        "win", wheel("win-1.0-py3-none-any.whl", B), extra="marker = \"sys_platform == 'win32'\"\n"
    )
    assert read(text) == [
        ("pypi:numpy/numpy-1.0-cp39-cp39-manylinux_2_17_aarch64.whl", "2" * 64),
        ("pypi:old/old-1.0-py3-none-any.whl", A),
    ]
    assert read(text, without=("numpy",)) == [("pypi:old/old-1.0-py3-none-any.whl", A)]


def test_one_version_for_each_python() -> None:
    def of(version: str, marker: str) -> str:
        name = f"app-{version}-py3-none-any.whl"
        return package("app", wheel(name, A), version=version, extra=f'marker = "{marker}"\n')

    both = of("1.0", "python_version < '3.10'") + of("2.0", "python_version >= '3.10'")
    assert read(both) == [("pypi:app/app-1.0-py3-none-any.whl", A)]
    with pytest.raises(Unresolvable, match="Multiple packages with the name 'app'"):
        read(of("1.0", "python_version < '3.10'") + of("2.0", "python_version >= '3.9'"))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('requires-python = ">=3.10"\n' + APP, "does not satisfy the Python version requirement"),
        ("environments = [\"sys_platform == 'win32'\"]\n" + APP, "does not satisfy any of the environments"),
        (package("app", wheel("app-1.0-cp39-cp39-win_amd64.whl", A)), "No wheel found matching"),
        (
            package("app", extra='sdist = { name = "app-1.0.tar.gz", url = "https://x.invalid/app-1.0.tar.gz", '
                    f'hashes = {{ sha256 = "{A}" }} }}\n'),
            "`app` has a source distribution and no wheel for Python 3.9 on arm64 with glibc 2.26",
        ),
        (package("app", extra='directory = { path = "." }\n'), "only wheels of indexes are taken"),
        (
            package("app", extra='vcs = { type = "git", url = "https://x.invalid/app", commit-id = "0" }\n'),
            "only wheels of indexes are taken",
        ),
    ],
)  # fmt: skip
def test_files_without_the_wheels_that_are_needed(text: str, says: str) -> None:
    with pytest.raises(Unresolvable) as caught:
        read(text)
    assert says in caught.value.message
    assert caught.value.exit_code == 35


@pytest.mark.parametrize(
    ("data", "says", "path"),
    [
        (b"\xff\xfe", "not UTF-8", ""),
        (b"lock-version = ", "not TOML", ""),
        (b"packages = []", "Missing required value", "lock-version"),
        (b'lock-version = "2.0"\ncreated-by = "x"\npackages = []', "version 2.0 is not supported", ""),
        (b'lock-version = "1.0"\ncreated-by = "x"', "Missing required value", "packages"),
        (b'lock-version = "1.0"\ncreated-by = "x"\npackages = "x"', "Unexpected type", "packages"),
        ((HEAD + '[[packages]]\nname = "App"\n').encode(), "not normalized", "packages[0].name"),
        ((HEAD + APP.replace(A, "") + 'marker = "x ="\n').encode(), "", "packages[0].marker"),
        ((HEAD + APP.replace("sha256", "md5")).encode(), "has no sha256", ""),
        ((HEAD + APP.replace(A, "../../x")).encode(), "has no sha256", ""),
        (
            (HEAD + APP.replace("app-1.0-py3", "other-1.0-py3")).encode(),
            "not consistent with package name",
            "packages[0].wheels[0]",
        ),
        (
            (HEAD + package("app", wheel("../app-1.0-py3-none-any.whl", A))).encode(),
            "",
            "packages[0].wheels[0]",
        ),
        ((HEAD + package("app", wheel("app.whl", A))).encode(), "Invalid wheel", "packages[0].wheels[0]"),
        ((HEAD + package("app")).encode(), "must be set", "packages[0]"),
    ],
)
def test_malformed_files(data: bytes, says: str, path: str) -> None:
    with pytest.raises(BadPylock) as caught:
        read_pylock(data, "recipes/pylock.toml", TARGET, frozenset())
    error = caught.value
    assert says in error.message
    assert error.exit_code == 36
    assert error.location is not None
    assert (error.location.file, error.location.path) == ("recipes/pylock.toml", path)


@pytest.fixture
def index(web: Web) -> Index:
    made = Index(web)
    made.add("app", "1.0", "base", tag="cp39-cp39-manylinux_2_17_aarch64")
    made.add("app", "1.0", tag="cp39-cp39-manylinux_2_28_aarch64")
    made.add("base", "2.0")
    return made


def test_what_is_written_is_read_again(
    index: Index, store: SourceStore, reach: Callable[..., Reach], tmp_path: Path
) -> None:
    first = pin_wheels("pkg", ASKED, (), store=store, reach=reach(index.url), emit=silent)
    wheels = [
        LockedWheel(
            filename=pin.file.rpartition("/")[2],
            sha256=pin.sha256,
            size=pin.size,
            path=pin.file.rpartition("/")[2],
        )
        for pin in first.wheels
    ]
    text = write_pylock(wheels, "3.9", TARGET.marker)
    assert write_pylock(reversed(wheels), "3.9", TARGET.marker) == text
    assert "127.0.0.1" not in text
    document = tomllib.loads(text)
    assert (document["lock-version"], document["requires-python"]) == ("1.0", "==3.9.*")
    place = tmp_path / "pylock.toml"
    place.write_text(text)
    again = pin_pylock("pkg", ASKED, place, "pylock.toml", store=store, reach=reach(index.url), emit=silent)
    assert again == first
    # What is here already is not asked for.
    same = pin_pylock("pkg", ASKED, place, "pylock.toml", store=store, reach=reach(offline=True), emit=silent)
    assert same == first
    place.write_text(text.replace(f"size = {first.wheels[0].size}", "size = 7"))
    with pytest.raises(HashMismatch, match=r"pylock\.toml says 7"):
        pin_pylock("pkg", ASKED, place, "pylock.toml", store=store, reach=reach(index.url), emit=silent)


def test_a_locked_wheel_that_no_index_gives(
    index: Index, store: SourceStore, reach: Callable[..., Reach], tmp_path: Path
) -> None:
    place = tmp_path / "pylock.toml"
    kinds: tuple[tuple[str, bool, type[LayerlockError]], ...] = (
        (package("base", wheel("base-2.0-py3-none-any.whl", A), version="2.0"), False, HashMismatch),
        (package("gone", wheel("gone-1.0-py3-none-any.whl", A)), True, Offline),
    )
    for text, offline, kind in kinds:
        place.write_text(HEAD + text)
        with pytest.raises(kind):
            pin_pylock(
                "pkg", ASKED, place, "x", store=store, reach=reach(index.url, offline=offline), emit=silent
            )


def test_pip_installs_from_what_is_written(tmp_path: Path, web: Web) -> None:
    """A judge that is not ours: pip reads the file, finds the wheel beside it and checks its hash."""
    index = Index(web)
    sha256 = index.add("app", "1.0")
    name = "app-1.0-py3-none-any.whl"
    (tmp_path / name).write_bytes((web.folder / "files" / name).read_bytes())
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    (tmp_path / "pylock.toml").write_text(
        write_pylock([LockedWheel(filename=name, sha256=sha256, size=None, path=name)], python, None)
    )
    command = [sys.executable, "-m", "pip", "--isolated", "install", "--no-index", "--target", "made"]
    done = subprocess.run(
        [*command, "--requirement", "pylock.toml"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    if "No module named pip" in done.stderr or "Invalid requirement" in done.stderr:
        pytest.skip("there is no pip here that reads pylock.toml")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "made" / "app.py").is_file()
