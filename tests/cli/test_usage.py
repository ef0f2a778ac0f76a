"""What the command says to those who ask for help, and to those who ask for what there is not."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import layerlock as package
from layerlock.cli.help import exit_codes
from layerlock.cli.schema import KINDS
from layerlock.cli.verbs import VERBS
from layerlock.model.schema import DOCUMENTS
from tests.cli.conftest import Run, write_package
from tests.ui.snapshots import check_snapshot


def test_version(layerlock: Run) -> None:
    done = layerlock("--version")
    assert (done.returncode, done.stdout, done.stderr) == (0, f"layerlock {package.__version__}\n", "")


def test_help_of_the_command_names_every_verb_and_every_exit_code(layerlock: Run) -> None:
    done = layerlock("--help")
    assert (done.returncode, done.stderr) == (0, "")
    for verb, summary in VERBS.items():
        assert re.search(rf"^  {verb} +{re.escape(summary)}$", done.stdout, re.MULTILINE)
    for code, meaning in exit_codes():
        assert re.search(rf"^ +{code}  {re.escape(meaning)}$", done.stdout, re.MULTILINE)
    assert max(map(len, done.stdout.split("\n"))) <= 110


@pytest.mark.parametrize("columns", [40, 60])
def test_help_fits_a_narrow_terminal(layerlock: Run, columns: int) -> None:
    """But for what is to be typed as it stands. No word of it is lost."""
    wide, narrow = (layerlock("--help", COLUMNS=str(each)) for each in (200, columns))
    assert narrow.stdout.split()[20:] == wide.stdout.split()[20:]
    lines = narrow.stdout.split("\n")
    long = [line for line in lines if len(line) > columns and not line.endswith(":")]
    assert [line.partition(":")[0] for line in long] == ["usage"]


def test_exit_codes_are_distinct_and_without_gaps() -> None:
    codes = [code for code, _ in exit_codes()]
    assert codes == sorted(set(codes))
    assert codes[:-1] == list(range(len(codes) - 1))
    assert codes[-1] == 130


@pytest.mark.parametrize("verb", VERBS)
def test_help_of_every_verb_teaches(layerlock: Run, verb: str, tmp_path: Path) -> None:
    # Help needs no recipes, no store, and nothing of the driver.
    done = layerlock(verb, "--help", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"usage: layerlock {verb} ")
    for part in ("\nwrites:\n", f"\nexample:\n  layerlock {verb}", "\nrelated:\n  layerlock ", "--repo DIR"):
        assert part in done.stdout
    assert max(map(len, done.stdout.split("\n"))) <= 110


def test_kinds_of_schemas_are_those_of_the_model() -> None:
    assert tuple(DOCUMENTS) == KINDS


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "error: a verb is missing\nhint: one of: build, "),
        (("biuld", "x"), "error: there is no verb `biuld`\nhint: did you mean `build`?\n"),
        (("xyzzy",), "error: there is no verb `xyzzy`\nhint: one of: build, "),
        (
            ("lock",),
            "error: the following arguments are required: LAYER\nhint: see: layerlock lock --help\n",
        ),
        (
            ("build", "program", "--jbos", "2"),
            "error: unrecognized arguments: --jbos 2\nhint: did you mean `--jobs`?\n",
        ),
        (("--jsno", "show"), "error: unrecognized arguments: --jsno\nhint: did you mean `--json`?\n"),
        (
            ("build", "program", "--jobs", "0"),
            "error: argument --jobs: must be a whole number of at least 1, not '0'\n",
        ),
        (
            ("build", "program", "--sandbox", "podman"),
            "error: argument --sandbox: invalid choice: 'podman' (choose from ",
        ),
        (("gc", "--max-size", "20"), "error: argument --max-size: must be a size such as `90 MB` or `3 GiB`"),
        (("hash", "nowhere"), "error: there is no nowhere\n"),
        (("schema", "packge"), "error: argument KIND: invalid choice: 'packge'"),
    ],
)
def test_mistakes_on_the_command_line(layerlock: Run, arguments: tuple[str, ...], said: str) -> None:
    done = layerlock(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(said)


@pytest.mark.parametrize("verb", ["build", "fetch", "show", "log", "shell"])
def test_a_mistyped_name_is_answered_with_the_nearest(layerlock: Run, verb: str, repository: Path) -> None:
    done = layerlock(verb, "progam")
    assert done.returncode == 2
    assert done.stderr == (
        f"error: there is no layer, no function and no package `progam` in {repository}\n"
        "hint: did you mean `program`?\n"
    )


@pytest.mark.parametrize("verb", ["lock", "record"])
def test_only_layers_and_functions_have_locks(layerlock: Run, verb: str) -> None:
    done = layerlock(verb, "program")
    assert done.returncode == 2
    assert "hint: `program` is a package; only layers and functions have locks" in done.stderr


def test_no_repository(layerlock: Run, tmp_path: Path) -> None:
    done = layerlock("show", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.endswith("hint: start layerlock in a recipe repository, or name one with --repo DIR\n")


def test_wrong_sandbox_in_the_environment(layerlock: Run) -> None:
    done = layerlock("build", "program", LAYERLOCK_SANDBOX="podman")
    assert done.returncode == 2
    assert done.stderr == "error: LAYERLOCK_SANDBOX must be one of auto, bwrap, docker, not 'podman'\n"


def test_wrong_job_count_in_the_environment(layerlock: Run) -> None:
    done = layerlock("build", "program", LAYERLOCK_JOBS="many")
    assert done.returncode == 2
    assert done.stderr.startswith("error: LAYERLOCK_JOBS must be a whole number of at least 1, not 'many'\n")


BROKEN = {
    "unknown-key": ('license = "MIT"', 'license = "MIT"\nhomepgae = "https://x.example"'),
    "wrong-type": ('version = "1.0"', "version = 1"),
    "not-toml": ("[[sources]]", "[[sources]"),
    "bad-hash": (f'sha256 = "{"0" * 64}"', 'sha256 = "12"'),
    "wrong-name": ('name = "program"', 'name = "pogrom"'),
    "unknown-input": ('inputs = ["library"]', 'inputs = ["libary"]'),
    "unknown-environment": ('environment = "small"', 'environment = "smal"'),
    "patch-outside": ("[build]", f'[[patches]]\nfile = "../x.patch"\nsha256 = "{"0" * 64}"\n\n[build]'),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_recipes(layerlock: Run, repository: Path, name: str) -> None:
    path = repository / "recipes" / "packages" / "program.toml"
    before, after = BROKEN[name]
    text = path.read_text(encoding="utf-8")
    assert before in text
    path.write_text(text.replace(before, after), encoding="utf-8")
    done = layerlock("build", "program", "--offline")
    check_snapshot(f"broken-{name}", f"{done.stderr}[exit code {done.returncode}]")
    assert done.stdout == ""


def test_a_missing_and_a_changed_patch(layerlock: Run, repository: Path) -> None:
    path = repository / "recipes" / "packages" / "library.toml"
    patch = f'[[patches]]\nfile = "library/0001-x.patch"\nsha256 = "{"0" * 64}"\n\n[build]'
    path.write_text(path.read_text(encoding="utf-8").replace("[build]", patch), encoding="utf-8")
    missing = layerlock("build", "library", "--offline")
    check_snapshot("broken-missing-patch", f"{missing.stderr}[exit code {missing.returncode}]")
    (repository / "patches" / "library").mkdir(parents=True)
    (repository / "patches" / "library" / "0001-x.patch").write_text("--- a/x\n+++ b/x\n", encoding="utf-8")
    changed = layerlock("build", "library", "--offline")
    check_snapshot("broken-changed-patch", f"{changed.stderr}[exit code {changed.returncode}]")


def test_recipes_in_a_circle(layerlock: Run, repository: Path) -> None:
    write_package(repository, "library", ("program",))
    done = layerlock("build", "program", "--offline")
    check_snapshot("broken-circle", f"{done.stderr}[exit code {done.returncode}]")
