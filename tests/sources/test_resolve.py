"""Requirement ranges against a real index on loopback: what is chosen, what is kept, and what is refused, and how."""

from __future__ import annotations

import hashlib
import socket
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from layerlock.errors import FetchError, HashMismatch, InvalidRecipe, LayerlockError, Offline, Unresolvable
from layerlock.events import Event, Warned
from layerlock.model.ports import SourceStore
from layerlock.model.requirements import Architecture, Requirements, Resolved
from layerlock.plan.requirements import Asked
from layerlock.sources import origins
from layerlock.sources.fetch import Reach
from layerlock.sources.resolve import read_wants
from layerlock.sources.target import Target
from layerlock.sources.wheel_pins import pin_wheels, write_wheels
from tests.sources.web import Web
from tests.sources.wheels import Index, metadata_of, wheel_of


@pytest.fixture
def index(web: Web) -> Index:
    return Index(web)


class Bench:
    """Resolves against the index, in a fresh session each time, as a new command would."""

    def __init__(self, index: Index, store: SourceStore, reach: Callable[..., Reach]) -> None:
        self.index = index
        self.store = store
        self.reach = reach
        self.events: list[Event] = []
        self.found: Resolved | None = None

    def __call__(
        self,
        *wants: str,
        without: tuple[str, ...] = (),
        architecture: Architecture = "arm64",
        glibc: str = "2.26",
        python: str = "3.9",
        upgrade: tuple[str, ...] | None = None,
        offline: bool = False,
    ) -> dict[str, str]:
        """Give versions by project; pins of the time before are kept, but for those of `upgrade`."""
        before = self.found.wheels if self.found is not None and upgrade != ("*",) else ()
        asked = Asked(
            python=python, architecture=architecture, glibc=glibc, wants=wants, pylock=None, without=without
        )
        self.events.clear()
        self.found = pin_wheels(
            "pkg",
            asked,
            [wheel for wheel in before if wheel.name not in (upgrade or ())],
            store=self.store,
            reach=self.reach(self.index.url, offline=offline),
            emit=self.events.append,
        )
        return {wheel.name: wheel.version for wheel in self.found.wheels}

    def file(self, project: str) -> str:
        """Give the name of a project's wheel."""
        assert self.found is not None
        return next(wheel.file for wheel in self.found.wheels if wheel.name == project)

    @property
    def warnings(self) -> list[str]:
        """What was warned of."""
        return [event.message for event in self.events if isinstance(event, Warned)]


@pytest.fixture
def bench(index: Index, store: SourceStore, reach: Callable[..., Reach]) -> Bench:
    return Bench(index, store, reach)


def refused(
    bench: Bench, *wants: str, kind: type[LayerlockError] = Unresolvable, **given: object
) -> LayerlockError:
    with pytest.raises(kind) as caught:
        bench(*wants, **given)  # type: ignore[arg-type]
    return caught.value


def test_the_newest_releases_that_fit_each_other(index: Index, bench: Bench) -> None:
    index.add("app", "1.0", "base>=1")
    index.add("app", "2.0", "base<2", "Tool_Kit>=1.5; python_version >= '3'")
    for version in ("1.0", "1.9", "1.10", "2.0"):
        index.add("base", version)
    index.add("tool-kit", "1.5", beside=True)
    assert bench("app") == {"app": "2.0", "base": "1.10", "tool-kit": "1.5"}
    assert bench.file("tool-kit") == "pypi:tool-kit/tool_kit-1.5-py3-none-any.whl"
    assert bench.found is not None
    assert {wheel.size for wheel in bench.found.wheels} == {
        (index.web.folder / "files" / wheel.file.rpartition("/")[2]).stat().st_size
        for wheel in bench.found.wheels
    }


def test_an_older_release_is_taken_where_the_newest_fits_nothing(index: Index, bench: Bench) -> None:
    index.add("app", "1.0", "base<2")
    index.add("app", "2.0", "base>=2", "gone")
    index.add("base", "1.0")
    index.add("base", "2.0")
    assert bench("app", "base") == {"app": "1.0", "base": "1.0"}


def test_markers_are_judged_for_the_target_and_not_for_this_host(index: Index, bench: Bench) -> None:
    holding = {
        "arm": "platform_machine == 'aarch64'",
        "old": "python_version < '3.10'",
        "linux": "sys_platform == 'linux' and os_name == 'posix'",
        "late": "python_full_version >= '3.9.2'",
        "c": "implementation_name == 'cpython'",
    }
    failing = {"win": "sys_platform == 'win32'", "new": "python_version >= '3.10'", "some": "extra == 'some'"}
    index.add(
        "app", "1.0", *(f"{name}; {marker}" for name, marker in (holding | failing).items()), extras=["some"]
    )
    for name in holding | failing:
        index.add(name, "1.0")
    assert bench("app", "gone; sys_platform == 'win32'").keys() == {"app", *holding}
    assert bench("app[some]").keys() == {"app", "some", *holding}
    assert bench("app[some]", architecture="x86_64").keys() == {"app", "some", *holding} - {"arm"}


def test_extras_belong_to_the_same_release(index: Index, bench: Bench) -> None:
    index.add("app", "1.0", "one; extra == 'x'", extras=["x"])
    index.add("app", "2.0", "two; extra == 'x'", extras=["x"])
    index.add("user", "1.0", "app<2")
    for name in ("one", "two"):
        index.add(name, "1.0")
    assert bench("app[X]", "user") == {"app": "1.0", "one": "1.0", "user": "1.0"}


@pytest.mark.parametrize(
    ("target", "best"),
    [
        (("arm64", "2.26", "3.9"), "cp39-cp39-manylinux_2_24_aarch64"),
        (("arm64", "2.17", "3.9"), "cp39-cp39-manylinux2014_aarch64"),
        (("arm64", "2.34", "3.9"), "cp39-cp39-manylinux_2_28_aarch64"),
        (("arm64", "2.26", "3.11"), "cp38-abi3-manylinux_2_17_aarch64"),
        (("x86_64", "2.26", "3.9"), "cp39-cp39-manylinux1_x86_64"),
        (("x86_64", "2.26", "3.12"), "py3-none-any"),
    ],
)
def test_the_best_wheel_of_a_release_for_the_target(
    index: Index, bench: Bench, target: tuple[Architecture, str, str], best: str
) -> None:
    for tag in (
        "cp39-cp39-manylinux_2_28_aarch64",
        "cp39-cp39-manylinux_2_24_aarch64",
        "cp39-cp39-manylinux2014_aarch64",
        "cp39-cp39-musllinux_1_1_aarch64",
        "cp38-abi3-manylinux_2_17_aarch64",
        "cp39-cp39-manylinux1_x86_64",
        "cp39-cp39-macosx_11_0_arm64",
        "py3-none-any",
    ):
        index.add("app", "1.0", tag=tag)
    architecture, glibc, python = target
    bench("app", architecture=architecture, glibc=glibc, python=python)
    assert bench.file("app") == f"pypi:app/app-1.0-{best}.whl"


def test_the_order_of_tags_is_that_of_packaging_on_such_a_host(monkeypatch: pytest.MonkeyPatch) -> None:
    """The list for another machine is the one that packaging, which pip uses, makes on that machine."""
    from packaging import _manylinux, tags  # noqa: PLC0415

    monkeypatch.setattr(_manylinux, "_get_glibc_version", lambda: (2, 26))
    monkeypatch.setattr(_manylinux, "_have_compatible_abi", lambda *_: True)
    monkeypatch.setattr("sysconfig.get_platform", lambda: "linux-x86_64")
    platforms = [platform for platform in tags.platform_tags() if "musl" not in platform]
    found = Target(python="3.9", architecture="x86_64", glibc="2.26")
    assert [tag.platform for tag in found.tags[: len(platforms)]] == platforms
    assert len(set(found.tags)) == len(found.tags)


def test_the_newest_build_of_a_wheel(index: Index, bench: Bench) -> None:
    index.add("app", "1.0", build="9")
    index.add("app", "1.0", build="10")
    index.add("app", "1.0")
    bench("app")
    assert bench.file("app") == "pypi:app/app-1.0-10-py3-none-any.whl"


def test_yanked_releases(index: Index, bench: Bench) -> None:
    index.add("app", "1.0")
    index.add("app", "2.0", yanked="broken <on> Tuesdays")
    assert bench("app") == {"app": "1.0"}
    assert bench.warnings == []
    # Who names a yanked release exactly gets it (PEP 592), and is told.
    assert bench("app==2.0") == {"app": "2.0"}
    assert bench.warnings == [
        "pypi:app/app-2.0-py3-none-any.whl is yanked from the index: broken <on> Tuesdays"
    ]
    # What was pinned stays, with a warning: what was built of it can be built again.
    assert bench("app") == {"app": "2.0"}
    assert len(bench.warnings) == 1
    assert bench("app", upgrade=("app",)) == {"app": "1.0"}
    error = refused(bench, "app==2.*", upgrade=("app",))
    assert "app 2.0: yanked (broken <on> Tuesdays)" in error.message


def test_the_python_that_a_release_is_for(index: Index, bench: Bench) -> None:
    index.add("app", "1.0")
    index.add("app", "2.0", python=">=3.10")
    # An index need not tell; the wheel does.
    index.add("app", "3.0", python=">=3.10", states_python=False)
    index.add("app", "4.0", python=">=3.9.1,<3.10")
    assert bench("app<4") == {"app": "1.0"}
    assert bench("app", upgrade=("*",)) == {"app": "4.0"}
    assert bench("app<4", python="3.10", upgrade=("*",)) == {"app": "3.0"}
    error = refused(bench, "app==2.0", upgrade=("*",))
    assert "app 2.0: for Python >=3.10" in error.message
    error = refused(bench, "app==3.0", upgrade=("*",))
    assert (
        "the recipe wants app==3.0 -> app 3.0, which cannot be used: it is for Python >=3.10" in error.message
    )


def test_pre_releases_only_where_they_are_asked_for(index: Index, bench: Bench) -> None:
    index.add("app", "1.0")
    index.add("app", "2.0rc1")
    index.add("early", "0.1.dev3")
    assert bench("app") == {"app": "1.0"}
    assert bench("app>=2.0a1") == {"app": "2.0rc1"}
    error = refused(bench, "early")
    assert "early 0.1.dev3: a pre-release; `early>=0.1.dev3` would ask for it" in error.message


def test_a_conflict_shows_both_chains(index: Index, bench: Bench) -> None:
    index.add("app", "1.0", "middle")
    index.add("middle", "1.2", "base<2")
    index.add("other", "3.0", "base>=2")
    index.add("base", "1.0")
    index.add("base", "2.0")
    error = refused(bench, "app>=1", "other")
    assert error.exit_code == 35
    assert error.message == (
        "conflicting requirements of `base`\n"
        "  the recipe wants app>=1 -> app 1.0 needs middle -> middle 1.2 needs base<2\n"
        "  the recipe wants other -> other 3.0 needs base>=2\n"
        "  of base there are wheels of 2.0, 1.0"
    )
    assert "widen one of the ranges" in error.hint
    error = refused(bench, "app", "base>1.5")
    assert "the recipe wants base>1.5" in error.message
    assert "middle 1.2 needs base<2" in error.message


def test_a_circle_of_needs_is_no_trouble(index: Index, bench: Bench) -> None:
    index.add("one", "1.0", "two")
    index.add("two", "1.0", "one", "three<1")
    index.add("three", "1.0")
    index.add("three", "0.5", "one")
    assert bench("two") == {"one": "1.0", "three": "0.5", "two": "1.0"}
    error = refused(bench, "one", "three>=1")
    assert "the recipe wants one -> one 1.0 needs two -> two 1.0 needs three<1" in error.message


def test_a_source_distribution_alone_is_refused(index: Index, bench: Bench) -> None:
    index.add("app", "1.0", "raw")
    index.put("raw", "raw-7.352.0.tar.gz", b"x", hashlib.sha256(b"x").hexdigest())
    error = refused(bench, "app")
    assert error.message == (
        "nothing meets the requirements of `raw`\n"
        "  the recipe wants app -> app 1.0 needs raw\n"
        "  raw 7.352.0: only a source distribution"
    )
    assert "build it from source" in error.hint
    assert bench("app", without=("raw",)) == {"app": "1.0"}


def test_a_wheel_for_another_machine_is_refused(index: Index, bench: Bench) -> None:
    index.add("app", "1.0", tag="cp39-cp39-manylinux_2_28_aarch64")
    index.add("app", "1.0", tag="cp39-cp39-manylinux_2_17_x86_64")
    error = refused(bench, "app")
    assert "app 1.0: no wheel for Python 3.9 on arm64 with glibc 2.26" in error.message


def test_what_does_not_exist(index: Index, bench: Bench) -> None:
    index.add("app", "1.0", "gone>=3")
    assert "gone: the index has no such project" in refused(bench, "app").message
    assert "of app there are wheels of 1.0" in refused(bench, "app>4").message


def test_what_is_left_out(index: Index, bench: Bench) -> None:
    index.add("app", "1.0", "heavy", "light")
    index.add("heavy", "1.0", "heavier")
    index.add("light", "1.0", "heavy")
    assert bench("app", without=("heavy", "unheard-of")) == {"app": "1.0", "light": "1.0"}
    assert bench.warnings == ["`unheard-of` is left out, but nothing asks for it"]
    error = refused(bench, "app", "Heavy", without=("heavy",), kind=InvalidRecipe)
    assert "`heavy` is both wanted and left out" in error.message


def test_pins_that_fit_stay_and_one_alone_can_move(index: Index, bench: Bench) -> None:
    index.add("app", "1.0", "base")
    index.add("base", "1.0", tag="cp39-cp39-manylinux_2_17_aarch64")
    assert bench("app") == {"app": "1.0", "base": "1.0"}
    pinned = bench.file("base")
    index.add("app", "1.1", "base")
    index.add("base", "1.1")
    # A better wheel of the same release is no reason to move either.
    index.add("base", "1.0", tag="cp39-cp39-manylinux_2_24_aarch64")
    assert bench("app", "base<9") == {"app": "1.0", "base": "1.0"}
    assert bench.file("base") == pinned
    assert bench("app", upgrade=("app",)) == {"app": "1.1", "base": "1.0"}
    assert bench("app", "base>1.0") == {"app": "1.1", "base": "1.1"}


def test_bytes_that_changed_under_an_unchanged_name(index: Index, bench: Bench) -> None:
    index.add("app", "1.0")
    bench("app")
    index.pages.clear()
    index.add("app", "1.0", "more")
    index.add("more", "1.0")
    error = refused(bench, "app", kind=HashMismatch)
    assert "pinned is" in error.message
    assert bench("app", upgrade=("app",)) == {"app": "1.0", "more": "1.0"}


def test_an_index_that_lies_about_a_hash(index: Index, bench: Bench) -> None:
    index.add("app", "1.0", sha256="0" * 64)
    refused(bench, "app", kind=HashMismatch)
    assert not list(Path(bench.store.layout.files).glob("*"))  # type: ignore[attr-defined]


def test_an_index_without_hashes_is_not_believed(index: Index, bench: Bench) -> None:
    index.add("app", "1.0", sha256="")
    assert "app 1.0: the index states no sha256" in refused(bench, "app").message


def test_metadata_beside_a_wheel_saves_its_download_and_must_be_its_own(index: Index, bench: Bench) -> None:
    index.add("app", "2.0", "gone", beside=True)
    index.add("app", "1.0", beside=True)
    assert bench("app") == {"app": "1.0"}
    assert not any(path.endswith("app-2.0-py3-none-any.whl") for path in index.web.asked)
    index.add("liar", "1.0", "dear", beside=metadata_of("liar", "1.0"))
    assert "is not the wheel's own" in refused(bench, "liar", kind=HashMismatch).message
    index.add("other", "1.0", beside=metadata_of("someone", "1.0"))
    assert "its metadata is that of someone 1.0" in refused(bench, "other").message


def test_requirements_that_cannot_be_used(index: Index, bench: Bench) -> None:
    index.add("app", "2.0", "base @ https://nowhere.invalid/base-1.0-py3-none-any.whl")
    index.add("app", "1.5", "base >= banana")
    index.add("app", "1.0")
    assert bench("app") == {"app": "1.0"}
    assert "it needs `base` from an address" in refused(bench, "app==2.0").message
    assert "its requirement `base >= banana` cannot be read" in refused(bench, "app==1.5").message


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("app @ https://nowhere.invalid/app-1.0-py3-none-any.whl", "names an address"),
        ("../../etc/passwd", "is no requirement"),
        ("app; import os", "is no requirement"),
        ("--index-url=https://nowhere.invalid", "is no requirement"),
        ("", "is no requirement"),
    ],
)
def test_wants_that_are_none(text: str, says: str) -> None:
    with pytest.raises(InvalidRecipe, match=says):
        read_wants((text,))


def test_hostile_names_on_a_page_are_not_offered(index: Index, bench: Bench) -> None:
    index.add("app", "1.0")
    wheel = (index.web.folder / "files" / "app-1.0-py3-none-any.whl").read_bytes()
    sha256 = hashlib.sha256(wheel).hexdigest()
    for text in (
        "../../../app-9.0-py3-none-any.whl",
        "..%2f..%2fapp-9.0-py3-none-any.whl",
        "app-9.0-py3-none-any.whl\x00.whl",
        'app-9.0-py3-none-any.whl"\nsha256 = "x',
        "-app-9.0-py3-none-any.whl",
        "other-9.0-py3-none-any.whl",
        "app-nine-py3-none-any.whl",
        "app-9.0.exe",
        "",
    ):
        index.link("app", f"../../files/app-1.0-py3-none-any.whl#sha256={sha256}", text)
        index.link("app", f"../../files/{text.encode().hex()}#sha256={sha256}", text)
    assert bench("app") == {"app": "1.0"}


def test_a_wheel_that_is_none(index: Index, bench: Bench) -> None:
    for data in (b"not a zip", b"PK\x05\x06" + bytes(18)):
        index.pages.clear()
        index.put("app", "app-1.0-py3-none-any.whl", data, hashlib.sha256(data).hexdigest())
        with pytest.raises(LayerlockError, match="is no wheel"):
            bench("app")


def test_an_index_that_hangs(
    monkeypatch: pytest.MonkeyPatch, store: SourceStore, reach: Callable[..., Reach], index: Index
) -> None:
    monkeypatch.setattr(origins, "TIMEOUT", (2.0, 0.5))
    with socket.create_server(("127.0.0.1", 0)) as server:
        bench = Bench(
            index, store, lambda *_, **__: reach(f"http://127.0.0.1:{server.getsockname()[1]}/simple")
        )
        error = refused(bench, "app", kind=FetchError)
    assert error.message == "pypi:app: the index does not answer in time"


def test_an_index_that_drips(
    monkeypatch: pytest.MonkeyPatch, store: SourceStore, reach: Callable[..., Reach], index: Index
) -> None:
    """A byte now and then keeps every timeout of the socket quiet."""
    monkeypatch.setattr(origins, "LONGEST", 1.0)
    done = threading.Event()

    def drip(server: socket.socket) -> None:
        connection, _ = server.accept()
        with connection:
            connection.sendall(
                b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 100000\r\n\r\n"
            )
            while not done.wait(0.1):
                connection.sendall(b" ")

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=drip, args=(server,))
        thread.start()
        bench = Bench(
            index, store, lambda *_, **__: reach(f"http://127.0.0.1:{server.getsockname()[1]}/simple")
        )
        try:
            error = refused(bench, "app", kind=FetchError)
        finally:
            done.set()
            thread.join()
    assert error.message == "pypi:app: the index does not answer in time"


def test_an_index_that_fails_is_not_one_without_the_project(
    store: SourceStore, reach: Callable[..., Reach], index: Index
) -> None:
    """Another index has it too, but the one that fails might have had the better one."""
    index.add("app", "1.0")
    bench = Bench(index, store, lambda url, **_: reach(url, "http://127.0.0.1:9/simple"))
    error = refused(bench, "app", kind=FetchError)
    assert error.message == "pypi:app: the index cannot be reached"


def test_offline_nobody_is_asked(index: Index, bench: Bench) -> None:
    refused(bench, "app", kind=Offline, offline=True)
    assert index.web.asked == []


def test_the_pins_are_written_alike_and_name_no_host(index: Index, bench: Bench, tmp_path: Path) -> None:
    index.add("app", "1.0", "base")
    index.add("base", "1.0")
    bench('app>=1; python_version>"3"', without=("zeta",))
    assert bench.found is not None
    place = tmp_path / "pkg.wheels.toml"
    write_wheels("pkg", Requirements(glibc="2.26"), bench.found, place)
    first = place.read_text()
    bench('app>=1; python_version>"3"', without=("zeta",), upgrade=("*",))
    write_wheels("pkg", Requirements(glibc="2.26"), bench.found, place)
    assert place.read_text() == first
    app = bench.found.wheels[0]
    assert first == (
        "# Generated by `layerlock lock` from the requirements of pkg.toml: its wants,\n"
        "# one wheel a project, for Python 3.9 on arm64 with glibc 2.26. `--upgrade` moves pins that still fit.\n"
        "\n[resolved]\n"
        'python = "3.9"\narchitecture = "arm64"\nglibc = "2.26"\n'
        'wants = [\n  "app>=1; python_version>\\"3\\"",\n]\n'
        'without = [\n  "zeta",\n]\n'
        "wheels = [\n"
        f'  {{ name = "app", version = "1.0", file = "pypi:app/app-1.0-py3-none-any.whl", sha256 = "{app.sha256}", '
        f"size = {app.size} }},\n"
        f'  {{ name = "base", version = "1.0", file = "pypi:base/base-1.0-py3-none-any.whl", '
        f'sha256 = "{bench.found.wheels[1].sha256}", size = {bench.found.wheels[1].size} }},\n'
        "]\n"
    )
    assert "127.0.0.1" not in first


def test_wheels_in_pips_folders_count(
    index: Index, store: SourceStore, reach: Callable[..., Reach], tmp_path: Path
) -> None:
    index.add("app", "1.0")
    folder = tmp_path / "wheelhouse"
    folder.mkdir()
    (folder / "app-2.0-py3-none-any.whl").write_bytes(wheel_of("app", "2.0", metadata_of("app", "2.0")))

    def with_folder(url: str, offline: bool) -> Reach:
        made = reach(url)
        pip = replace(made.origins._pip, places=(str(folder),))
        return replace(made, origins=origins.Origins(pip=pip, apt=(), snapshot_address=None))

    assert Bench(index, store, with_folder)("app") == {"app": "2.0"}
