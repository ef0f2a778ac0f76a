"""Let the tools judge the templates that `layerlock template` writes.

    python -m tools.lint_templates [FOLDER OF PROGRAMS ...]

Programs are looked for in the folders given, then on PATH; what is not there is named, and not counted as passed.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

GOLDENS = Path(__file__).resolve().parent.parent / "tests" / "publish" / "templates"
JUDGES = (
    ("sam", ("sam", "validate", "--lint", "--template", "template.yaml")),
    ("sam", ("cfn-lint", "template.yaml")),
    ("serverless", ("serverless", "print")),
    ("terraform", ("terraform", "fmt", "-check", "-diff", "-no-color")),
)
"""The tool that a template is for, and a command that judges it where it stands."""


def main() -> int:
    """Judge every template; give the exit status."""
    search = os.pathsep.join([*sys.argv[1:], os.environ["PATH"]])
    failed = 0
    for case in sorted(GOLDENS.iterdir()):
        for tool, command in JUDGES:
            program = shutil.which(command[0], path=search)
            about = f"{case.name}/{tool}: {command[0]}"
            if program is None:
                print(f"{about}: not installed, not judged")
                continue
            said = judge(case / tool, (str(Path(program).absolute()), *command[1:]), search)
            failed += bool(said)
            print(f"{about}: {said or 'accepted'}")
    return 1 if failed else 0


def judge(template: Path, command: tuple[str, ...], search: str) -> str:
    """Run a command beside a copy of a template; give what it objects to, empty if nothing."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        shutil.copytree(template, folder, dirs_exist_ok=True)
        for place in ("app.py", "function/app.py"):
            (folder / place).parent.mkdir(exist_ok=True)
            (folder / place).write_text("def handler(event, context):\n    return event\n")
        (folder / "dist").mkdir()
        with zipfile.ZipFile(folder / "dist" / "cv-small.zip", "w") as archive:
            archive.writestr("python/empty.py", "")
        # Judging needs no account; with none of these the tools ask the network who this is.
        quiet = {"SAM_CLI_TELEMETRY": "0", "SLS_TELEMETRY_DISABLED": "1", "SLS_NOTIFICATIONS_MODE": "off"}
        nobody = {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x", "AWS_DEFAULT_REGION": "eu-west-1"}
        done = subprocess.run(
            command,
            cwd=folder,
            env={**os.environ, "PATH": search, "HOME": name, **quiet, **nobody},
            capture_output=True,
            text=True,
            timeout=180,
            check=False,
        )
    said = (done.stdout + done.stderr).strip()
    # The Serverless Framework only warns of what its schema does not know.
    return said if done.returncode or "Invalid configuration" in said else ""


if __name__ == "__main__":
    sys.exit(main())
