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
CHECKED = ("src", "tests", "tools", "examples", "recipes/code", "noxfile.py")


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


def verb_session(verb: str, doc: str, *first: str, name: str = "") -> None:
    """Make the session that passes its arguments, behind some `first` ones, to a verb of the driver."""

    def pass_on(session: nox.Session) -> None:
        run("nox", "layerlock", verb, *first, *session.posargs)

    pass_on.__doc__ = doc
    nox.session(name=name or verb)(pass_on)


def zip_session(kind: str, recipe: Path) -> None:
    """Make the session that builds a layer or a function."""
    doc = ""  # of what cannot be read; building says what is wrong, and where
    with contextlib.suppress(OSError, KeyError, tomllib.TOMLDecodeError):
        doc = described(kind, recipe)
    verb_session("build", doc, recipe.stem, name=f"{kind}-{recipe.stem}")


def described(kind: str, recipe: Path) -> str:
    """Give a recipe's summary, what it is for, and what it weighs by the head of its lock; `nox -l` shows it."""
    about = tomllib.loads(recipe.read_text())[kind]
    for _ in range(9):  # a chain of bases; one that goes in a circle is for building to tell
        if base := about.pop("base", None):
            about = tomllib.loads(recipe.with_name(f"{base}.toml").read_text())[kind] | about
    lock = Path("lockfiles", f"{recipe.stem}.lock")
    head = lock.read_text().partition("[[sources]]")[0] if lock.is_file() else ""
    sizes = tomllib.loads(head).get("zip")
    weight = f", {sizes['unzipped'] / 1e6:.1f} MB, zipped {sizes['size'] / 1e6:.1f} MB" if sizes else ""
    return f"{about['summary']} [{about['runtime']} {about.get('architecture', 'x86_64')}{weight}]"


def tool_session(name: str, doc: str, module: str = "") -> None:
    """Make the session that runs a program of tools/."""

    def work(session: nox.Session) -> None:
        run("dev", "python", "-m", f"tools.{module or name}", *session.posargs)

    work.__doc__ = doc
    nox.session(name=name)(work)


for _recipe in sorted(Path("recipes/layers").glob("*.toml")):
    zip_session("layer", _recipe)
for _recipe in sorted(Path("recipes/functions").glob("*.toml")):
    zip_session("function", _recipe)
    _name = f"invoke-{_recipe.stem}"
    verb_session("invoke", f"Invoke it: nox -s {_name} -- IMAGE", _recipe.stem, name=_name)
verb_session("build", "Build a layer or a package: nox -s build -- numpy")
verb_session("build", "Build every layer as one plan: nox -s all -- --except cv-git", "--all", name="all")
verb_session("lock", "Pin every source of a layer: nox -s lock -- cv")
verb_session("record", "Build a layer and write its outputs into the lock: nox -s record -- cv")
verb_session("check", "Rebuild under other circumstances and compare: nox -s check -- cv")
verb_session("audit", "Look for what is wrong with layers: nox -s audit -- cv --online")
verb_session("update", "Move pins to newer releases: nox -s update -- numpy")
verb_session("shrink", "Find what a layer can do without: nox -s shrink -- fastai")
verb_session("fetch", "Bring every source of a layer into the store: nox -s fetch -- cv")
verb_session("reproduce", "Build a past layer again, exactly: nox -s reproduce -- cv@REVISION")
verb_session("publish", "Publish a layer's zip to AWS: nox -s publish -- cv --region eu-west-1 --dry-run")
verb_session("archive", "Write all that a layer is made from into a folder: nox -s archive -- cv --to DIR")
tool_session("prove", "Rebuild cv varied, by Docker, and as it was; writes docs/reproducibility.md")
tool_session("bench", "Measure sizes and times; writes docs/benchmarks.md")
tool_session("scale", "Measure planning, and scheduling by Dask; writes docs/scale.md")
tool_session("soak", "Invoke LambdaVision ten thousand times; writes docs/lambdavision.md")
tool_session("worker-image", "Make the image of workers: nox -s worker-image -- FILE", "worker_image")
tool_session("lint-examples", "Hold examples/ against AWS's and Serverless's own rules", "lint_examples")
tool_session("schema", "Write docs/schema/ and the reference pages from records", "reference")
tool_session("requirements", "Write the locks under requirements/ anew: nox -s requirements -- --upgrade")


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
    run("dev", "pytest", "-m", "not cold and not long", *session.posargs)


@nox.session
def thorough(session: nox.Session) -> None:
    """Run the tests that take minutes and that `ci` leaves out, the tutorial as it is written among them."""
    run("dev", "pytest", "-m", "long", *session.posargs)


@nox.session
def docs(session: nox.Session) -> None:
    """Write the documentation as a site, to site/; anything that it warns of is an error."""
    run("docs", "mkdocs", "build", "--strict", *session.posargs)


@nox.session
def ci(session: nox.Session) -> None:
    """Check and test everything, with one build of the layer cv from an empty store, and of the site."""
    lint(session)
    docs(session)
    run("dev", "pytest", "-m", "not long", *session.posargs)
