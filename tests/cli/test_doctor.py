"""`layerlock doctor`, run for real on machines that lack something."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from layerlock.sandbox.probe import restrictions
from layerlock.workflows.examining import Check, Examined, choose, examine, ok, problem
from tests.cli.conftest import Run, variables
from tests.sources.web import served_web

NAMES = [
    "kernel",
    "namespaces",
    "bubblewrap",
    "docker",
    "control groups",
    "store",
    "memory",
    "python",
    "git",
    "index",
    "debian",
    "aws",
]


def checks(done: subprocess.CompletedProcess[str]) -> dict[str, dict[str, Any]]:
    """Give the checks of a run with --json, by name."""
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    (result,) = [row for row in rows if row["event"] == "Result"]
    assert [each["name"] for each in result["checks"]] == NAMES
    # Whatever is not well has a remedy.
    assert [
        each["name"] for each in result["checks"] if each["standing"] != "ok" and not each["remedy"]
    ] == []
    assert result["can_build"] == (not any(each["stops_builds"] for each in result["checks"]))
    assert done.returncode == (0 if result["can_build"] else 42), done.stderr
    return {each["name"]: each for each in result["checks"]}


def altered(script: str, home: Path, repository: Path, **extra: str) -> subprocess.CompletedProcess[str]:
    """Run `doctor --offline --json` in namespaces of its own, after a shell script that spoils something there."""
    command = ["unshare", "--map-root-user", "--mount", "sh", "-ec", f'{script}\nexec "$@"', "sh"]
    own = {**variables(home, extra), "STORE": str(home / "store")}
    trial = [*command[:3], "true"]
    if shutil.which("unshare") is None or subprocess.run(trial, check=False, capture_output=True).returncode:
        pytest.skip("`unshare --map-root-user --mount` is not possible here")
    doctor = [
        sys.executable,
        "-m",
        "layerlock",
        "doctor",
        "--offline",
        "--json",
        "--store",
        str(home / "store"),
    ]
    return subprocess.run(
        [*command, *doctor], cwd=repository, env=own, capture_output=True, text=True, timeout=120, check=False
    )


def test_the_report_is_a_table_with_words_and_remedies(layerlock: Run, tmp_path: Path) -> None:
    done = layerlock("doctor", "--offline", cwd=tmp_path, DOCKER_HOST="unix:///nowhere")
    assert done.returncode in {0, 42}
    lines = done.stdout.split("\n")
    assert [line[:8].strip() for line in lines if line[:1] not in {"", " "}][: len(NAMES)]
    for name in NAMES:
        assert any(
            line.split()[0] in {"ok", "warning", "problem"} and name in line
            for line in lines
            if line[:1].strip()
        )
    assert "\x1b" not in done.stdout
    assert max(map(len, lines)) <= 130
    verdict = "builds can run here" if done.returncode == 0 else "no build can run here"
    assert lines[-2].startswith(verdict)


def test_without_git(layerlock: Run, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    found = checks(layerlock("doctor", "--offline", "--json", PATH=str(empty)))
    assert found["git"]["standing"] == "warning"
    assert found["git"]["found"] == "git is not installed"
    assert not found["git"]["stops_builds"]


def test_with_git(layerlock: Run) -> None:
    if shutil.which("git") is None:
        pytest.skip("git is not installed")
    assert checks(layerlock("doctor", "--offline", "--json"))["git"]["standing"] == "ok"


def test_docker_asked_for_and_not_there(layerlock: Run) -> None:
    done = layerlock(
        "doctor", "--offline", "--json", LAYERLOCK_SANDBOX="docker", DOCKER_HOST="unix:///nowhere/docker.sock"
    )
    found = checks(done)
    assert done.returncode == 42
    assert found["docker"]["standing"] == "problem"
    assert found["docker"]["found"] == "there is no docker engine at unix:///nowhere/docker.sock"
    assert "DOCKER_HOST" in found["docker"]["remedy"]
    assert not found["bubblewrap"]["stops_builds"]
    last = json.loads(done.stdout.splitlines()[-1])
    assert (last["event"], last["kind"], last["exit_code"]) == ("Error", "CannotBuild", 42)
    assert "error: no build can run here: see docker" in done.stderr


@pytest.mark.sandbox
def test_docker_asked_for_and_there(layerlock: Run, engine_host: str) -> None:
    found = checks(layerlock("doctor", "--json", "--sandbox", "docker", DOCKER_HOST=engine_host))
    assert found["docker"]["standing"] == "ok", found["docker"]
    assert found["docker"]["found"] == f"sandboxes work in the engine at {engine_host}"


@pytest.mark.sandbox
def test_bubblewrap_makes_docker_unnecessary(layerlock: Run) -> None:
    found = checks(layerlock("doctor", "--json", DOCKER_HOST="unix:///nowhere/docker.sock"))
    assert found["bubblewrap"]["standing"] == "ok", found["bubblewrap"]
    assert found["docker"]["standing"] == "ok"
    assert found["docker"]["found"].endswith("(not needed: bubblewrap is used)")


def test_a_dead_index(layerlock: Run) -> None:
    found = checks(
        layerlock("doctor", "--json", PIP_CONFIG_FILE=os.devnull, PIP_INDEX_URL="http://127.0.0.1:9/simple")
    )
    assert found["index"]["standing"] == "problem"
    assert found["index"]["found"] == "pip's index fails: the index cannot be reached"
    assert not found["index"]["stops_builds"]


def test_an_index_that_answers(layerlock: Run, tmp_path: Path) -> None:
    with served_web(tmp_path / "web") as web:
        web.project("pip", {})
        extra = {"PIP_CONFIG_FILE": os.devnull, "PIP_INDEX_URL": f"{web.url}/simple"}
        found = checks(layerlock("doctor", "--json", **extra))
        assert (found["index"]["standing"], found["index"]["found"]) == ("ok", "pip's index answers")
        assert "/simple/pip/" in web.asked
        # One that holds other projects alone answers too.
        (tmp_path / "web" / "simple" / "pip" / "index.html").unlink()
        (tmp_path / "web" / "simple" / "pip").rmdir()
        assert checks(layerlock("doctor", "--json", **extra))["index"]["standing"] == "ok"


def test_offline_asks_nobody(layerlock: Run, tmp_path: Path) -> None:
    with served_web(tmp_path / "web") as web:
        found = checks(
            layerlock(
                "doctor", "--offline", "--json", PIP_CONFIG_FILE=os.devnull, PIP_INDEX_URL=f"{web.url}/simple"
            )
        )
        assert web.asked == []
    assert found["index"]["found"] == found["debian"]["found"] == "not asked (--offline)"


def test_the_report_is_as_wide_as_columns_says(layerlock: Run) -> None:
    """Also where it is not a terminal that reads it. A word, such as a path, stays whole."""
    told = [layerlock("doctor", "--offline", COLUMNS=columns).stdout.splitlines() for columns in ("50", "")]
    for lines, columns in zip(told, (50, 110), strict=True):
        longest = max(len(line) for line in lines if len(line[25:].split()) > 1)
        assert columns - 30 < longest <= columns


def test_a_store_that_is_full(home: Path, repository: Path) -> None:
    done = altered('mkdir "$STORE"; mount -t tmpfs -o size=64k none "$STORE"', home, repository)
    found = checks(done)
    assert done.returncode == 42
    assert found["store"]["standing"] == "problem"
    assert found["store"]["found"].startswith("could not write to ")
    assert "No space left on device" in found["store"]["found"]
    assert "layerlock gc" in found["store"]["remedy"]


def test_a_store_with_little_room(home: Path, repository: Path) -> None:
    found = checks(altered('mkdir "$STORE"; mount -t tmpfs -o size=64m none "$STORE"', home, repository))
    assert found["store"]["standing"] == "warning"
    assert "; a large layer takes some 8 GB" in found["store"]["found"]


def test_a_store_where_no_program_may_run(home: Path, repository: Path) -> None:
    done = altered('mkdir "$STORE"; mount -t tmpfs -o size=64m,noexec none "$STORE"', home, repository)
    found = checks(done)
    assert (found["store"]["standing"], done.returncode) == ("problem", 42)
    assert "noexec" in found["store"]["found"]


def test_a_store_that_cannot_be_written_to(layerlock: Run, home: Path) -> None:
    (home / "file").touch()
    done = layerlock("doctor", "--offline", "--json", "--store", str(home / "file"))
    found = checks(done)
    assert (found["store"]["standing"], done.returncode) == ("problem", 42)


@pytest.mark.sandbox
def test_no_user_namespaces_left(home: Path, repository: Path) -> None:
    done = altered(
        "echo 0 > /proc/sys/user/max_user_namespaces", home, repository, DOCKER_HOST="unix:///nowhere"
    )
    found = checks(done)
    assert done.returncode == 42
    assert found["namespaces"]["standing"] == "warning"
    assert "user.max_user_namespaces is 0" in found["namespaces"]["found"]
    assert "sudo sysctl user.max_user_namespaces=" in found["namespaces"]["remedy"]
    assert found["bubblewrap"]["standing"] == found["docker"]["standing"] == "problem"


def test_settings_of_other_kernels(tmp_path: Path) -> None:
    # Ubuntu's and Debian's own settings, which this kernel may not have.
    (tmp_path / "kernel").mkdir()
    (tmp_path / "user").mkdir()
    (tmp_path / "user" / "max_user_namespaces").write_text("15000\n")
    (tmp_path / "kernel" / "apparmor_restrict_unprivileged_userns").write_text("1\n")
    (tmp_path / "kernel" / "unprivileged_userns_clone").write_text("0\n")
    found = restrictions(root=False, settings=tmp_path)
    assert [what for what, _ in found] == [
        "kernel.unprivileged_userns_clone is 0",
        "kernel.apparmor_restrict_unprivileged_userns is 1",
    ]
    assert "AppArmor profile" in found[1][1]
    assert restrictions(root=True, settings=tmp_path) == ()
    (tmp_path / "user" / "max_user_namespaces").unlink()
    assert "the kernel has no user namespaces" in restrictions(root=True, settings=tmp_path)[0][0]


def test_aws_credentials_are_looked_for_and_not_read(layerlock: Run, home: Path) -> None:
    secret = "AKIAIOSFODNN7EXAMPLE"
    done = layerlock("doctor", "--offline", "--json", AWS_ACCESS_KEY_ID=secret)
    assert secret not in done.stdout + done.stderr
    found = checks(done)["aws"]
    if importlib.util.find_spec("boto3") is None:
        assert found["found"] == "boto3 is not installed; only publishing to AWS needs it"
        return
    assert (found["standing"], found["found"]) == ("ok", "AWS_ACCESS_KEY_ID is set")
    assert checks(layerlock("doctor", "--offline", "--json"))["aws"]["standing"] == "warning"
    (home / ".aws").mkdir()
    (home / ".aws" / "credentials").write_text("no credentials at all")
    assert (
        checks(layerlock("doctor", "--offline", "--json"))["aws"]["found"]
        == "there is a file of AWS credentials"
    )


def test_a_check_that_hangs_does_not_hold_the_others_up() -> None:
    import threading  # noqa: PLC0415

    never = threading.Event()

    def hang() -> Any:
        never.wait(30)
        return ok("woken")

    slow, quick = examine(
        (Check(name="slow", look=hang, seconds=0.2), Check(name="quick", look=lambda: ok("here")))
    )
    never.set()
    assert (slow.found.standing, slow.found.said) == ("problem", "no answer within 0 s")
    assert quick.found == ok("here")


@pytest.mark.parametrize(
    ("kind", "bubblewrap", "docker", "stops"),
    [
        ("auto", True, False, set()),
        ("auto", False, True, set()),
        ("auto", False, False, {"bubblewrap", "docker"}),
        ("bwrap", False, True, {"bubblewrap"}),
        ("docker", True, False, {"docker"}),
        ("docker", False, True, set()),
    ],
)
def test_one_sandbox_of_the_kind_asked_for_is_enough(
    kind: Any, bubblewrap: bool, docker: bool, stops: set[str]
) -> None:
    examined = [
        Examined(
            name=name, found=ok("it works") if works else problem("it does not", "mend it"), needed=False
        )
        for name, works in (("bubblewrap", bubblewrap), ("docker", docker))
    ]
    assert {each.name for each in choose(kind, examined) if each.stops_builds} == stops
