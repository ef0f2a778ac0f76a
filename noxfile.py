"""The verbs as nox sessions. Everything that happens stands elsewhere: in the driver, or in tools/.

Sessions run in one environment, `.venv`, which `requirements/install` keeps equal to a lock with hashes; an
environment for each session, as nox makes them by default, would install the driver anew for every layer.
"""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
import tomllib
from pathlib import Path

import nox

nox.needs_version = ">=2024.10"
nox.options.default_venv_backend = "none"
nox.options.sessions = ["lint", "tests"]

BIN = ".venv/bin/"
CHECKED = ("src", "tests", "tools", "noxfile.py")


def run(lock: str, *command: str) -> None:
    """Run a program of the environment, brought up to a lock before; a failure ends nox with its exit code."""
    start("requirements/install", lock)
    start(BIN + command[0], *command[1:])


def start(*line: str) -> None:
    """Run a program to its end.

    Not `session.run`, which turns every exit code into 1, and kills a program half a second after Ctrl-C.
    """
    with subprocess.Popen(line) as process:
        signal.signal(signal.SIGTERM, lambda number, _: process.send_signal(number))
        while process.returncode is None:
            # Ctrl-C reaches the program too, which cleans up and then ends.
            with contextlib.suppress(KeyboardInterrupt):
                process.wait()
    if process.returncode:
        sys.exit(process.returncode if process.returncode > 0 else 128 - process.returncode)


def layer_session(recipe: Path) -> None:
    """Make the session that builds a layer; `nox -l` shows the layer's summary."""
    name = recipe.stem

    def build(session: nox.Session) -> None:
        run("nox", "layerlock", "build", name, *session.posargs)

    with contextlib.suppress(tomllib.TOMLDecodeError):  # building says what is wrong, and where
        build.__doc__ = tomllib.loads(recipe.read_text()).get("layer", {}).get("summary")
    nox.session(name=f"layer-{name}")(build)


def verb_session(verb: str, doc: str) -> None:
    """Make the session that passes its arguments to a verb of the driver."""

    def pass_on(session: nox.Session) -> None:
        run("nox", "layerlock", verb, *session.posargs)

    pass_on.__doc__ = doc
    nox.session(name=verb)(pass_on)


for _recipe in sorted(Path("recipes/layers").glob("*.toml")):
    layer_session(_recipe)
verb_session("build", "Build a layer or a package: nox -s build -- numpy")
verb_session("lock", "Pin every source of a layer: nox -s lock -- cv")
verb_session("record", "Build a layer and write its outputs into the lock: nox -s record -- cv")
verb_session("check", "Rebuild under other circumstances and compare: nox -s check -- cv")
verb_session("audit", "Look for what is wrong with layers: nox -s audit -- cv --online")
verb_session("update", "Move pins to newer releases: nox -s update -- numpy")
verb_session("fetch", "Bring every source of a layer into the store: nox -s fetch -- cv")
verb_session("reproduce", "Build a past layer again, exactly: nox -s reproduce -- cv@REVISION")
verb_session("publish", "Publish a layer's zip to AWS: nox -s publish -- cv --region eu-west-1 --dry-run")
verb_session("archive", "Write all that a layer is made from into a folder: nox -s archive -- cv --to DIR")


@nox.session
def lint(session: nox.Session) -> None:
    """Check style, types and the direction of imports."""
    run("dev", "ruff", "check", *CHECKED)
    run("dev", "ruff", "format", "--check", *CHECKED)
    run("dev", "mypy")
    run("dev", "lint-imports")


@nox.session
def tests(session: nox.Session) -> None:
    """Run the tests, with real builds of small packages in the sandbox."""
    run("dev", "pytest", "-m", "not cold", *session.posargs)


@nox.session
def ci(session: nox.Session) -> None:
    """Check and test everything, with one build of the layer cv from an empty store."""
    lint(session)
    run("dev", "pytest", *session.posargs)


@nox.session
def prove(session: nox.Session) -> None:
    """Rebuild cv varied, from an archive by Docker, and as it was; writes docs/reproducibility.md."""
    run("dev", "python", "-m", "tools.prove", *session.posargs)


@nox.session
def bench(session: nox.Session) -> None:
    """Measure sizes and times; writes docs/benchmarks.md."""
    run("dev", "python", "-m", "tools.bench", *session.posargs)


@nox.session
def schema(session: nox.Session) -> None:
    """Write docs/schema/ and the reference pages from the driver's own records."""
    run("dev", "python", "-m", "tools.reference", *session.posargs)


@nox.session
def requirements(session: nox.Session) -> None:
    """Write the locks under requirements/ anew: nox -s requirements -- --upgrade"""
    compiling = [
        "uv",
        "pip",
        "compile",
        "--quiet",
        "--universal",
        "--python-version=3.11",
        "--generate-hashes",
    ]
    compiling += ["--no-annotate", "--no-emit-index-url", "--custom-compile-command=./nox -s requirements"]
    # The widest first; the others follow its versions.
    run(
        "dev",
        *compiling,
        "--group=dev",
        "pyproject.toml",
        "--output-file=requirements/dev.txt",
        *session.posargs,
    )
    for name, group in (("nox", ["--group=nox"]), ("driver", [])):
        target = f"--output-file=requirements/{name}.txt"
        run("dev", *compiling, *group, "--constraints=requirements/dev.txt", "pyproject.toml", target)
