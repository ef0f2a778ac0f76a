"""Real builds of small packages in the real sandbox: patches, the floor, early cutoff, failures and limits."""

from __future__ import annotations

import hashlib
import os
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from layerlock.errors import (
    BuildFailed,
    HashMismatch,
    LayerlockError,
    NotReproducible,
    OutOfMemory,
    OverBudget,
    PatchFailed,
    ResourceExceeded,
    StaleLock,
    TimedOut,
)
from layerlock.events import BuildFinished, BuildReused, BuildStarted
from layerlock.io.lockfile import read_lock
from layerlock.workflows.building import build_layer, build_package, record_layer
from layerlock.workflows.locking import lock_layer
from layerlock.workflows.standing import find

from .conftest import Bench

pytestmark = pytest.mark.sandbox

TINY_C = "recipes/packages/tiny-c.toml"


def script(bench: Bench, commands: str, *, limits: str = "") -> None:
    """Put other commands into the C package's recipe."""

    def change(text: str) -> str:
        head, _, _ = text.partition("script = '''")
        return f"{head}script = '''\n{commands}\n'''\n[build.limits]\n{limits}\n"

    bench.edit(TINY_C, change)


def test_a_package_is_patched_built_below_the_floor_and_built_once(bench: Bench) -> None:
    """`exp` is bound to the version that Amazon Linux 2 has, though the compiler's own glibc has a newer one."""
    # Flags that no other test has: they share a store.
    bench.edit(TINY_C, lambda text: text.replace("-Os", "-O2"))
    made, path = build_package(bench.driver(), "tiny-c")
    assert "tiny-c" in bench.of(BuildFinished)
    library = (path / "lib" / "libtiny.so.1").read_bytes()
    assert b"GLIBC_2.2.5" in library
    assert b"GLIBC_2.29" not in library
    again, same = build_package(bench.driver(), "tiny-c")
    assert (again, same) == (made, path)
    assert bench.of(BuildStarted) == []


def test_a_layer_is_locked_built_recorded_and_confirmed(bench: Bench, tmp_path: Path) -> None:
    """The whole way: lock, build (unconfirmed), record, build (confirmed), and a zip tampered with is noticed."""
    changed = lock_layer(bench.driver(), "tiny")
    assert "tiny-c/tiny-c" in changed.added
    built = build_layer(bench.driver(), "tiny", tmp_path / "dist")
    assert not built.confirmed
    recorded = record_layer(bench.driver(), "tiny", tmp_path / "dist")
    assert recorded.sha256 == built.sha256
    bench.events.clear()
    confirmed = build_layer(bench.driver(), "tiny", tmp_path / "dist")
    assert confirmed.confirmed
    assert bench.of(BuildStarted) == []

    before = built.path.stat()
    data = bytearray(built.path.read_bytes())
    data[len(data) // 2] ^= 1
    built.path.write_bytes(data)
    os.utime(built.path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert build_layer(bench.driver(), "tiny", tmp_path / "dist").sha256 == built.sha256
    assert built.path.read_bytes() != bytes(data)
    assert find(bench.store, bench.folder, "tiny", tmp_path / "dist") == replace(confirmed, report={})
    listing = subprocess.run(
        ["python3", "-m", "zipfile", "-l", str(built.path)], capture_output=True, text=True, check=True
    ).stdout
    assert "lib/libtiny.so.1" in listing
    assert "python/lib/python3.9/site-packages/tiny/__init__.py" in listing
    assert "tests" not in listing
    assert "include" not in listing


def test_ones_own_code_decides_what_stands(bench: Bench, tmp_path: Path) -> None:
    """A folder that is a source counts as recipes do: what is edited there is not overlooked."""
    lock_layer(bench.driver(), "tiny")
    build_layer(bench.driver(), "tiny", tmp_path)
    assert find(bench.store, bench.folder, "tiny", tmp_path) is not None
    bench.append("sources/tiny-c/tiny.c", "/* more */\n")
    assert find(bench.store, bench.folder, "tiny", tmp_path) is None
    with pytest.raises(StaleLock):
        build_layer(bench.driver(), "tiny", tmp_path)


def test_a_comment_rebuilds_one_derivation(bench: Bench, tmp_path: Path) -> None:
    """Early cutoff: the changed source is built, its output is the same, and everything after is reused."""
    lock_layer(bench.driver(), "tiny")
    build_layer(bench.driver(), "tiny", tmp_path)
    bench.edit("sources/tiny-c/tiny.c", lambda text: text.replace("double tiny", "/* e^(rt) */ double tiny"))
    bench.edit(
        "patches/tiny-c/0001-the-right-answer.patch",
        lambda text: text.replace(" double tiny_growth", " /* e^(rt) */ double tiny_growth"),
    )
    patch = (bench.folder / "patches/tiny-c/0001-the-right-answer.patch").read_bytes()
    bench.edit(TINY_C, lambda text: _with_patch_hash(text, hashlib.sha256(patch).hexdigest()))
    with pytest.raises(StaleLock):
        build_layer(bench.driver(), "tiny", tmp_path)
    lock_layer(bench.driver(), "tiny")
    bench.events.clear()
    build_layer(bench.driver(), "tiny", tmp_path)
    built = [event.name for event in bench.events if isinstance(event, BuildStarted)]
    reused = {event.name for event in bench.events if isinstance(event, BuildReused)}
    assert built == ["tiny-c"]
    assert {"tiny-cpp", "layer-tiny-tree"} <= reused


def _with_patch_hash(text: str, sha256: str) -> str:
    head, _, tail = text.partition('.patch"\nsha256 = "')
    return f'{head}.patch"\nsha256 = "{sha256}{tail[64:]}'


def test_a_failing_build_shows_the_end_of_its_log(bench: Bench) -> None:
    """The last 30 lines, the log's place, and how to look around."""
    script(bench, "for i in $(seq 100); do echo line $i; done; exit 3")
    with pytest.raises(BuildFailed) as caught:
        build_package(bench.driver(), "tiny-c")
    assert "| line 100" in caught.value.message
    assert "the build script ended with 3" in caught.value.message
    # The last of the thirty lines is the guest script's own.
    assert "| line 72" in caught.value.message
    assert "| line 71\n" not in caught.value.message
    assert "layerlock shell tiny-c" in caught.value.hint
    log = Path(caught.value.hint.split("the full log: ")[1].split(";")[0])
    assert "line 1\n" in log.read_text()


@pytest.mark.parametrize(
    ("commands", "limits", "expected", "says"),
    [
        # Slowly enough to be seen before the kernel ends it.
        (
            "for i in {1..500}; do head -c 2M /dev/zero; sleep 0.05; done | tail -c 1G",
            'memory = "64 MiB"',
            OutOfMemory,
            "memory limit of 64 MiB: `tail` was killed",
        ),
        ("sleep 60", 'time = "2 s"', TimedOut, "time limit of 2 s"),
        (
            ":(){ sleep 5 & }; for i in $(seq 64); do : ; done; wait",
            "processes = 20",
            ResourceExceeded,
            "processes",
        ),
        ("head -c 80M /dev/zero > /out/zeros; sleep 5", 'output = "20 MiB"', ResourceExceeded, "output"),
    ],
)
def test_limits_bite_and_are_told_apart(
    bench: Bench, commands: str, limits: str, expected: type[LayerlockError], says: str
) -> None:
    """Each limit ends the build with its own error."""
    script(bench, commands, limits=limits)
    with pytest.raises(expected) as caught:
        build_package(bench.driver(), "tiny-c")
    assert says in caught.value.message


def test_a_patch_that_does_not_apply_names_hunk_and_file(bench: Bench) -> None:
    """No fuzz: the context has to be there."""
    bench.edit("sources/tiny-c/tiny.c", lambda text: text.replace("return 41", "return 40"))
    with pytest.raises(PatchFailed, match=r"tiny\.c"):
        build_package(bench.driver(), "tiny-c")


def test_a_changed_patch_is_refused_with_both_hashes(bench: Bench) -> None:
    """The recipe pins its patches."""
    bench.edit(
        "patches/tiny-c/0001-the-right-answer.patch", lambda text: text.replace("return 42", "return 43")
    )
    with pytest.raises(HashMismatch) as caught:
        build_package(bench.driver(), "tiny-c")
    assert "tiny-c.toml" in str(caught.value)


def test_an_output_that_differs_from_the_record_stops_the_build(bench: Bench, tmp_path: Path) -> None:
    """A build that depends on something unpinned is found out at the first derivation that differs."""
    lock_layer(bench.driver(), "tiny")
    record_layer(bench.driver(), "tiny", tmp_path)
    path = bench.folder / "lockfiles" / "tiny.lock"
    output = next(d.output for d in read_lock(path, "tiny").derivations if d.name == "tiny-c")
    assert output is not None
    path.write_text(path.read_text().replace(output, "sha256-" + "A" * 43 + "="))
    with pytest.raises(NotReproducible, match="tiny-c"):
        build_layer(bench.driver(), "tiny", tmp_path)


def test_nothing_is_left_of_a_failed_build(bench: Bench) -> None:
    """The store holds the log of a failure and nothing else of it."""
    script(bench, "echo something > /out/half; exit 1")
    before = sorted((bench.store / "trees").iterdir()) if (bench.store / "trees").is_dir() else []
    with pytest.raises(BuildFailed):
        build_package(bench.driver(), "tiny-c")
    after = sorted((bench.store / "trees").iterdir())
    assert {p.name for p in after} - {p.name for p in before} <= {
        p.name for p in after if "environment" in p.name or "sandbox-program" in p.name
    }
    assert list((bench.store / "tmp").iterdir()) == []


def test_a_layer_over_its_budget_names_what_weighs_most(bench: Bench, tmp_path: Path) -> None:
    """A budget shapes no byte: changing it needs no new lock, and nothing is built again."""
    lock_layer(bench.driver(), "tiny")
    build_layer(bench.driver(), "tiny", tmp_path / "fits")
    for key, called in (("unzipped", "MB unzipped"), ("zipped", "MB zipped")):
        bench.append("recipes/layers/tiny.toml", f'\n[budget]\n{key} = "100 kB"\n')
        bench.events.clear()
        with pytest.raises(OverBudget, match=called) as caught:
            build_layer(bench.driver(), "tiny", tmp_path / "over")
        assert bench.of(BuildStarted) == []
        assert "package gcc-runtime" in caught.value.message
        assert "file lib/libgfortran.so.5" in caught.value.message
        bench.edit("recipes/layers/tiny.toml", lambda text: text.partition("\n[budget]")[0])
    assert not (tmp_path / "over").exists()
