"""A function over a layer, for real: locked, built, recorded, held against Lambda's limits, invoked in the sandbox."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import pytest

from layerlock.errors import FunctionRefused, InvalidRecipe, InvocationFailed, SmokeFailed, UsageError
from layerlock.events import BuildFinished
from layerlock.io.lockfile import read_lock
from layerlock.layer.steadiness import steadiness
from layerlock.workflows.building import build_layer, record_layer
from layerlock.workflows.invoking import Invoked, invoke
from layerlock.workflows.locking import lock_layer

from .conftest import Bench

pytestmark = pytest.mark.sandbox

HELLO = "recipes/functions/hello.toml"


def sent(bench: Bench, *events: Any, times: int = 1) -> Invoked:
    """Lock and invoke the function."""
    lock_layer(bench.driver(), "hello")
    return invoke(bench.driver(), "hello", events, times, 60)


def test_a_function_is_locked_built_recorded_and_confirmed(bench: Bench, tmp_path: Path) -> None:
    lock_layer(bench.driver(), "hello")
    built = build_layer(bench.driver(), "hello", tmp_path)
    assert not built.confirmed
    assert {"function-hello-tree", "function-hello-smoke", "layer-tiny-tree"} <= {
        *bench.of(BuildFinished)
    } | {d.name for d in read_lock(bench.folder / "lockfiles/hello.lock", "hello").derivations}
    with zipfile.ZipFile(built.path) as archive:
        assert archive.namelist() == ["app.py"]
        assert archive.infolist()[0].date_time == (1980, 1, 1, 0, 0, 0)
    (note,) = built.notes
    assert note.startswith("with its layers ")
    assert note.endswith("it can be uploaded directly")
    recorded = record_layer(bench.driver(), "hello", tmp_path)
    lock = read_lock(bench.folder / "lockfiles/hello.lock", "hello")
    assert lock.zip is not None
    assert lock.zip.sha256 == recorded.sha256 == built.sha256
    assert {d.name for d in lock.derivations if d.output is None} == {"function-hello-smoke"}
    assert build_layer(bench.driver(), "hello", tmp_path).confirmed


def test_what_it_must_answer_is_held_against_what_it_answers(bench: Bench, tmp_path: Path) -> None:
    bench.edit(HELLO, lambda text: text.replace("growth = 1.0", "growth = 2.0"))
    lock_layer(bench.driver(), "hello")
    with pytest.raises(SmokeFailed, match=r"'answers' answered .*\"growth\": 1.0.*, not .*\"growth\": 2.0"):
        build_layer(bench.driver(), "hello", tmp_path)


def test_limits_are_reckoned_before_aws_does(bench: Bench, tmp_path: Path) -> None:
    bench.edit(
        HELLO, lambda text: text.replace('GREETING = "hello"', f'GREETING = "hello"\nLONG = "{"x" * 4096}"')
    )
    bench.edit(
        "recipes/runtimes/python3.9-test.toml",
        lambda text: text.replace("unzipped = 262_144_000", "unzipped = 3_000_000"),
    )
    lock_layer(bench.driver(), "hello")
    with pytest.raises(FunctionRefused) as caught:
        build_layer(bench.driver(), "hello", tmp_path)
    assert "bytes unzipped, over Lambda's limit of 3,000,000\n" in caught.value.message
    assert "MB  tiny" in caught.value.message
    assert "the environment variables of hello take 4,1" in caught.value.message
    assert caught.value.exit_code == 37
    assert not (tmp_path / "hello.zip").exists()


def test_a_handler_that_is_not_there(bench: Bench, tmp_path: Path) -> None:
    bench.edit(HELLO, lambda text: text.replace('"app.handler"', '"app.main"'))
    lock_layer(bench.driver(), "hello")
    with pytest.raises(FunctionRefused, match=r"app\.py names no `main` at its top"):
        build_layer(bench.driver(), "hello", tmp_path)


def test_layers_of_another_runtime_are_refused(bench: Bench) -> None:
    bench.edit(HELLO, lambda text: text.replace("python3.9-test", "python3.9-other"))
    text = (bench.folder / "recipes/runtimes/python3.9-test.toml").read_text()
    other = bench.folder / "recipes/runtimes/python3.9-other.toml"
    other.write_text(text.replace('"python3.9-test"', '"python3.9-other"'))
    with pytest.raises(
        InvalidRecipe, match=r"`hello` is for python3\.9-other, and `tiny`, which it is used with"
    ):
        lock_layer(bench.driver(), "hello")


def test_a_layer_and_a_function_of_one_name(bench: Bench) -> None:
    bench.edit(HELLO, lambda text: text.replace('"hello"', '"tiny"', 1))
    (bench.folder / HELLO).rename(bench.folder / "recipes/functions/tiny.toml")
    with pytest.raises(InvalidRecipe, match="`tiny` is a layer and a function"):
        lock_layer(bench.driver(), "tiny")


def test_an_invocation(bench: Bench) -> None:
    came = sent(bench, {}, {"counts": True}, times=2)
    assert came.answers == ({"growth": 1.0, "greeting": "hello", "name": "hello"}, 1)
    assert "START RequestId" in came.log
    assert all(sample.resident > 1_000_000 for sample in came.samples)


def test_a_leak_is_measured(bench: Bench) -> None:
    came = sent(bench, {"kept": 50_000}, times=300)
    found = steadiness(came.samples)
    assert found is not None
    assert 40_000 < found.growth < 70_000


def test_a_function_that_leaks_nothing_has_next_to_no_slope(bench: Bench) -> None:
    found = steadiness(sent(bench, {}, times=300).samples)
    assert found is not None
    assert abs(found.growth) < 2_000
    assert found.slowdown < 3


@pytest.mark.parametrize(
    ("event", "times", "message"),
    [
        ({"fails": "so it is"}, 1, "hello raised LookupError: so it is"),
        ({"counts": True}, 3, "invocation 2 was answered 2, unlike the first one"),
    ],
)
def test_answers_that_are_none(bench: Bench, event: Any, times: int, message: str) -> None:
    with pytest.raises(InvocationFailed, match=message) as caught:
        sent(bench, event, times=times)
    assert caught.value.exit_code == 38


def test_events_and_names_that_make_no_sense(bench: Bench) -> None:
    with pytest.raises(UsageError, match=r"Lambda takes 6,291,556 when it is waited for"):
        sent(bench, {"image": "x" * 6_291_556})
    lock_layer(bench.driver(), "tiny")
    with pytest.raises(UsageError, match="`tiny` is a layer; only functions are invoked"):
        invoke(bench.driver(), "tiny", ({},), 1, 60)
