"""Templates: goldens, and the tools' own judgement where they are here."""

from __future__ import annotations

import dataclasses
import shutil
import subprocess
from pathlib import Path

import pytest
import tomli_w

from layerlock.cli import main
from layerlock.cli.template import TOOLS as NAMES
from layerlock.publish.templates.subject import BucketSubject, FunctionSubject, Subject
from layerlock.publish.templates.table import TOOLS
from tests.publish.conftest import Stall

ROOT = Path(__file__).parents[2]
GOLDENS = Path(__file__).parent / "templates"
SUBJECT = Subject(
    layer="cv-small",
    summary='Says "${hello}", %{and} goodbye',
    licence="(BSD-3-Clause OR MIT) AND MIT",
    runtime="python3.11",
    architecture="x86_64",
    arn="arn:aws:lambda:eu-west-1:123456789012:layer:cv-small:3",
    zip="dist/cv-small.zip",
    region="eu-west-1",
)
LOCAL = dataclasses.replace(SUBJECT, arn=None, region=None, architecture="arm64", layer="torch")
FUNCTION = FunctionSubject(
    name="see.all_1",
    summary=SUBJECT.summary,
    runtime="python3.11",
    deprecated="2027-06-30",
    architecture="arm64",
    handler="app.main",
    zip="dist/see.all_1.zip",
    variables={"GREETING": 'say "hello"'},
    memory=2048,
    time=60,
    retries=1,
    method="ANY",
    path="/see/{what}",
    buckets=(
        BucketSubject(name="in-here", summary="Uploads", access="read", starts=True, variable=""),
        BucketSubject(name="function", summary="Answers", access="write", starts=False, variable="ANSWERS"),
    ),
    layers=(SUBJECT, dataclasses.replace(LOCAL, zip="dist/torch.zip")),
    region="eu-west-1",
)
BARE = dataclasses.replace(
    FUNCTION,
    variables={},
    method="",
    path="",
    buckets=(),
    layers=(),
    region=None,
    name="bare",
    zip="dist/bare.zip",
)
KINDS = ("published", "local", "function", "bare")
CASES = [(tool, case) for tool in TOOLS for case in KINDS]


def render(tool: str, case: str) -> str:
    """Write a template."""
    if case in ("function", "bare"):
        return TOOLS[tool].render_function(FUNCTION if case == "function" else BARE)
    return TOOLS[tool].render(SUBJECT if case == "published" else LOCAL)


def golden(tool: str, case: str) -> Path:
    """Give a golden's place."""
    return GOLDENS / case / tool / TOOLS[tool].file


def write_goldens() -> None:
    """Write all goldens anew."""
    for tool, case in CASES:
        path = golden(tool, case)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(render(tool, case))


@pytest.mark.parametrize(("tool", "case"), CASES)
def test_goldens(tool: str, case: str) -> None:
    known = golden(tool, case)
    hint = 'python -c "from tests.publish.test_templates import write_goldens; write_goldens()"'
    assert render(tool, case) == known.read_text(), f"if the change is meant: {hint}"


@pytest.mark.parametrize("case", KINDS)
def test_terraform_would_lay_it_out_so(case: str, tmp_path: Path) -> None:
    program = shutil.which("terraform")
    if program is None:
        pytest.skip("terraform is not installed")
    shutil.copy(golden("terraform", case), tmp_path)
    command = [program, "fmt", "-check", "-diff", "-no-color"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("case", KINDS)
def test_an_app_for_the_cdk_is_python(case: str) -> None:
    compile(render("cdk", case), "app.py", "exec")


@pytest.mark.parametrize("tool", ["sam", "serverless"])
def test_the_example_is_what_the_command_writes(tool: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The templates of examples/lambdavision/ are made from its recipe; lint-examples lets the tools judge them."""
    place = ROOT / "examples" / "lambdavision" / TOOLS[tool].file
    known = place.read_text()
    command = ["template", tool, "lambdavision", "--local", "--repo", str(ROOT), "--out"]
    # Beside it, since the zips are named as seen from there.
    beside = place.with_name(f"{place.name}.new")
    try:
        assert main.main([*command, str(beside)]) == 0
        made = beside.read_text()
    finally:
        beside.unlink(missing_ok=True)
    capsys.readouterr()
    shown = f"examples/lambdavision/{place.name}"
    assert made == known, f"run: layerlock template {tool} lambdavision --local --out {shown}"


def test_a_function_over_published_layers_needs_their_record(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["template", "sam", "lambdavision", "--repo", str(ROOT)]) == 2
    assert "`torch` was not published" in capsys.readouterr().err


def publish(stall: Stall, *regions: str) -> None:
    """Write a record of publications."""
    rows = [
        {
            "layer": "tiny",
            "arn": f"arn:aws:lambda:{region}:123456789012:layer:tiny:{number}",
            "zip": "0" * 64,
            "size": 1,
            "created": "",
        }
        for region in regions
        for number in (9, 10)
    ]
    path = stall.folder / "lockfiles" / "published.toml"
    path.write_text(tomli_w.dumps({"version": 1, "published": rows}))


@pytest.mark.parametrize("tool", TOOLS)
def test_the_newest_version_of_the_region_is_named(stall: Stall, tool: str) -> None:
    assert tuple(TOOLS) == NAMES
    publish(stall, "eu-west-1", "us-east-1")
    assert stall.run("template", tool, "tiny") == 2
    assert "--region" in stall.err
    assert stall.run("template", tool, "tiny", "--region", "us-east-1") == 0
    assert "arn:aws:lambda:us-east-1:123456789012:layer:tiny:10" in stall.out
    again = stall.out
    assert stall.run("template", tool, "tiny", "--region", "us-east-1") == 0
    assert stall.out == again
    assert stall.run("template", tool, "tiny", "--region", "ap-south-1") == 2
    assert "--local" in stall.err


def test_the_zip_is_named_as_seen_from_the_template(stall: Stall, tmp_path: Path) -> None:
    below = stall.folder / "deploy"
    below.mkdir()
    assert stall.run("template", "sam", "tiny", "--local", "--out", str(below / "template.yaml")) == 0
    assert 'ContentUri: "../dist/tiny.zip"' in (below / "template.yaml").read_text()
