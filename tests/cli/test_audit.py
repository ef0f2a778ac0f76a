"""`layerlock audit` as a command: what it prints, as text, JSON and SARIF, and how it ends."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

from layerlock.audit.table import CHECKS
from layerlock.model.findings import Severity
from tests.audit.conftest import ROOT, Shelf


class Command:
    """The command in the small repository."""

    def __init__(self, shelf: Shelf, home: Path) -> None:
        self.shelf = shelf
        self._home = home

    def __call__(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run it."""
        return subprocess.run(
            [sys.executable, "-m", "layerlock", "--store", str(self.shelf.store), *arguments],
            cwd=self.shelf.root,
            env={
                "PATH": os.environ["PATH"],
                "HOME": str(self._home),
                "PYTHONPATH": os.environ.get("PYTHONPATH", ""),
                "LC_ALL": "C.UTF-8",
            },
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )


@pytest.fixture
def audit(tmp_path: Path) -> Command:
    """Give the command, over a locked repository with an error and a note in it."""
    shelf = Shelf(tmp_path)
    shelf.edit("recipes/packages/hello.toml", "https://example.org", "http://example.org")
    shelf.edit("recipes/packages/hello.toml", '"-Os"', '"-Os -march=native"')
    skip = '[[layer.audit.skip]]\ncheck = "recorded"\nreason = "It is a draft."\n\n[[prune]]'
    shelf.edit("recipes/layers/demo.toml", "[[prune]]", skip)
    shelf.lock()
    return Command(shelf, tmp_path)


def test_findings_come_worst_first_with_place_and_remedy(audit: Command) -> None:
    done = audit("audit", "demo")
    assert done.returncode == 28
    assert done.stdout.split("\n") == [
        "errors",
        "  native-code",
        "    the build of hello compiles for the machine that it runs on: -march=native",
        "      at recipes/packages/hello.toml:25 (build.variables.CFLAGS)",
        "      name the processor: -march=x86-64-v3, or leave it at the compiler's default",
        "",
        "notes",
        "  plain-http",
        "    hello/hello comes over an unencrypted connection: its hash protects the bytes, "
        "nothing hides what is fetched",
        "      at recipes/packages/hello.toml:8 (sources[0].urls)",
        "      give an https address",
        "",
        "  recorded: 1 finding left out: It is a draft.",
        "",
        f"demo: 1 error, 1 note by {sum(check.needs != 'network' for check in CHECKS)} checks",
        "not built here, so its contents were not looked at: demo",
        "checks that need the network did not run; --online adds them",
        "vulnerabilities were not looked up; --osv names a database",
        "",
    ]
    assert done.stderr.startswith("error: the audit found 1 error\nhint: ")


@pytest.mark.parametrize(("threshold", "code"), [("error", 28), ("warning", 28), ("note", 28), ("never", 0)])
def test_it_ends_by_the_worst_finding(audit: Command, threshold: str, code: int) -> None:
    assert audit("audit", "--fail-on", threshold).returncode == code
    audit.shelf.edit("recipes/packages/hello.toml", " -march=native", "")
    audit.shelf.lock()
    assert audit("audit", "--fail-on", threshold).returncode == (28 if threshold == "note" else 0)


def test_json_says_the_same(audit: Command) -> None:
    done = audit("--json", "audit", "demo")
    result, error = map(json.loads, done.stdout.splitlines())
    assert [(row["check"], row["severity"]) for row in result["findings"]] == [
        ("native-code", "error"),
        ("plain-http", "note"),
    ]
    assert result["findings"][0]["location"] == {
        "file": "recipes/packages/hello.toml",
        "line": 25,
        "path": "build.variables.CFLAGS",
    }
    assert [(row["check"], row["skipped"]) for row in result["skipped"]] == [("recorded", "It is a draft.")]
    assert (error["event"], error["kind"], error["exit_code"]) == ("Error", "AuditFailed", 28)


def test_sarif(audit: Command) -> None:
    done = audit("audit", "--sarif", "out.sarif", "--fail-on", "never")
    assert done.returncode == 0
    log: dict[str, Any] = json.loads((audit.shelf.root / "out.sarif").read_text())
    assert log["version"] == "2.1.0" and set(log) == {"$schema", "version", "runs"}
    (run,) = log["runs"]
    rules = [rule["id"] for rule in run["tool"]["driver"]["rules"]]
    assert len(set(rules)) == len(rules)
    assert [result["ruleId"] for result in run["results"]] == ["native-code", "plain-http", "recorded"]
    for result in run["results"]:
        assert rules[result["ruleIndex"]] == result["ruleId"]
        assert result["level"] in {"error", "warning", "note"}
        place = result["locations"][0]["physicalLocation"]
        uri = place["artifactLocation"]["uri"]
        assert (audit.shelf.root / uri).is_file() and place["region"]["startLine"] >= 1
        assert len(result["partialFingerprints"]["layerlock/v1"]) == 64
    assert run["results"][2]["suppressions"] == [{"kind": "inSource", "justification": "It is a draft."}]


def test_a_page(audit: Command) -> None:
    done = audit("audit", "demo", "--html", "out/demo.html")
    assert done.returncode == 28
    path = audit.shelf.root / "out/demo.html"
    first = path.read_bytes()
    assert f"out/demo.html: the page of demo, {len(first) / 1e6:,.1f} MB" in done.stdout
    # What is wrong and what was left out stand in it; one finding is of the severity that ends the audit.
    for words in (b"-march=native", b"hello/hello comes over an unencrypted connection", b"It is a draft."):
        assert words in first
    assert str(audit.shelf.root).encode() not in first and len(first) < 2_000_000
    done = audit("--json", "audit", "demo", "--html", "out/demo.html", "--fail-on", "never")
    told = [json.loads(line) for line in done.stdout.splitlines()]
    assert told[-1]["page"] == str(path) and told[-1]["size"] == len(first)
    assert path.read_bytes() == first


def test_a_page_is_of_one_layer(audit: Command) -> None:
    audit.shelf.write("other.zip", "")
    for wrong in ((), ("demo", "demo"), ("other.zip",), ("demo", "other.zip")):
        done = audit("audit", *wrong, "--html", "page.html")
        assert done.returncode == 2 and "--html writes the page of one layer" in done.stderr
    (audit.shelf.root / "lockfiles/demo.lock").unlink()
    done = audit("audit", "demo", "--html", "page.html")
    assert done.returncode == 4 and "has no lock" in done.stderr
    assert not (audit.shelf.root / "page.html").exists()


def test_checks_are_listed_and_explained(audit: Command) -> None:
    lines = audit("audit", "--list").stdout.splitlines()
    assert len(lines) == len(CHECKS) + 1
    assert lines[0].split() == ["check", "area", "worst", "needs"]
    done = audit("audit", "--explain", "tag-moved")
    assert done.stdout.startswith(
        "tag-moved (upstream, at worst error, needs the network)\nA tag names another"
    )
    assert audit("audit", "--explain", "tag").returncode == 2


def test_checks_are_chosen_by_name_or_area(audit: Command) -> None:
    assert audit("audit", "--only", "plain-http").returncode == 0
    assert audit("audit", "--only", "lint").returncode == 28
    assert audit("audit", "--only", "lint", "--skip", "native-code").returncode == 0
    for wrong, message in (
        (("--only", "nothing"), "there is no check `nothing`"),
        (("--only", "yanked"), "the check `yanked` needs the network"),
        (("--deep",), "--deep fetches files"),
        (("nowhere",), "there is no layer `nowhere`"),
        (("gone.zip",), "there is no zip gone.zip"),
    ):
        done = audit("audit", *wrong)
        assert done.returncode == 2 and message in done.stderr


def test_a_layer_zip_from_elsewhere(audit: Command) -> None:
    with zipfile.ZipFile(audit.shelf.root / "other.zip", "w") as archive:
        archive.writestr("python/other.py", "")
    done = audit("audit", "other.zip")
    assert done.returncode == 0, done.stderr
    assert "other.zip: no findings" in done.stdout
    data = (audit.shelf.root / "other.zip").read_bytes()
    (audit.shelf.root / "other.zip").write_bytes(data[:40])
    done = audit("audit", "other.zip")
    assert done.returncode == 15 and "other.zip" in done.stderr


def test_an_audit_of_many_findings_lists_the_first_of_each_check(audit: Command) -> None:
    for number in range(20):
        audit.shelf.write(f"patches/left-{number:02}.patch", "")
    assert "    and 8 more; --all lists them" in audit("audit", "--fail-on", "never").stdout
    assert "more; --all" not in audit("audit", "--fail-on", "never", "--all").stdout


def test_the_table_is_sound() -> None:
    names = [check.name for check in CHECKS]
    assert len(set(names)) == len(names)
    assert not set(names) & {check.area for check in CHECKS}
    for check in CHECKS:
        assert check.name == check.name.lower() and " " not in check.name
        assert check.explanation.endswith(".") and check.severity in Severity


def test_an_offline_audit_of_the_real_layer_takes_no_two_seconds_of_a_processor(audit: Command) -> None:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = audit("audit", "cv", "--repo", str(ROOT), "--fail-on", "never")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.returncode == 0, done.stderr
    # Time on a processor: what others do on this machine is not counted.
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 2


def test_the_real_layers_have_no_errors(audit: Command) -> None:
    done = audit("audit", "--repo", str(ROOT), "--skip", "runtime-deprecated")
    assert done.returncode == 0, done.stdout
