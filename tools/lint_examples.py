"""Let the tools themselves judge templates: those of examples/, and the goldens of `layerlock template`.

    ./nox -s lint-examples
    python -m tools.lint_examples FOLDER ...    with the programs of these folders, installing nothing

AWS SAM, cfn-lint and the Serverless Framework are installed apart from everything else, into .venv-examples/, since
what SAM pins contradicts the other locks: requirements/examples.txt and requirements/serverless/package-lock.json, both
with hashes. Terraform is asked where it is installed. What is not there is named, and not counted as passed. The
framework's schema is part of its program; `serverless print` reads a file, resolves it and holds it against that
schema. None of the judges needs credentials or a network.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PLACE = ROOT / ".venv-examples"
LOCKS = (
    "requirements/examples.txt",
    "requirements/serverless/package.json",
    "requirements/serverless/package-lock.json",
)
JUDGES = (
    ("template.yaml", ("sam", "validate", "--lint", "--region=us-east-1", "--template=template.yaml")),
    ("template.yaml", ("cfn-lint", "template.yaml")),
    ("serverless.yml", ("serverless", "print")),
    ("main.tf", ("terraform", "fmt", "-check", "-diff", "-no-color")),
)
"""The file that a tool reads, and the command that judges it where it stands."""
NOBODY = {
    "AWS_ACCESS_KEY_ID": "x",
    "AWS_SECRET_ACCESS_KEY": "x",
    "AWS_DEFAULT_REGION": "eu-west-1",
    "SAM_CLI_TELEMETRY": "0",
    "SLS_NOTIFICATIONS_MODE": "off",
    "SLS_TELEMETRY_DISABLED": "1",
}
"""Judging needs no account; without one, the tools ask the network who this is."""


def main() -> int:
    """Install what is missing unless folders are named, and judge every template; give the exit status."""
    folders = [str(Path(name).absolute()) for name in sys.argv[1:]]
    if not folders:
        install()
        folders = [str(PLACE / "bin"), str(PLACE / "serverless/node_modules/.bin")]
    search = os.pathsep.join([*folders, os.environ["PATH"]])
    failed = 0
    for template in templates():
        for file, command in JUDGES:
            if template.name != file:
                continue
            about = f"{template.relative_to(ROOT)}: {command[0]}"
            program = shutil.which(command[0], path=search)
            if program is None or (command[0] == "serverless" and shutil.which("node", path=search) is None):
                print(f"skipped: {about} is not installed here", flush=True)
                continue
            said = judge(template, (program, *command[1:]), search)
            failed += bool(said)
            print(f"{about}: {f'FAILED{chr(10)}{said}' if said else 'ok'}", flush=True)
    return 1 if failed else 0


def templates() -> Iterator[Path]:
    """Give every template that some tool can judge."""
    for folder in ("examples/*", "tests/publish/templates/*/*"):
        for file in sorted({file for file, _ in JUDGES}):
            yield from sorted(ROOT.glob(f"{folder}/{file}"))


def judge(template: Path, command: tuple[str, ...], search: str) -> str:
    """Run a command beside a copy of a template and of what it names; give what it objects to, empty if nothing."""
    with tempfile.TemporaryDirectory() as name:
        # As deep as an example stands in the repository, since zips are named as seen from there.
        folder = Path(name) / "examples" / "one"
        folder.mkdir(parents=True)
        shutil.copy(template, folder)
        for place in ("app.py", "function/app.py"):
            (folder / place).parent.mkdir(exist_ok=True)
            (folder / place).write_text("def handler(event, context):\n    return event\n")
        for path in re.findall(r"[./]*dist/[\w.-]+\.zip", template.read_text()):
            (folder / path).parent.mkdir(exist_ok=True)
            with zipfile.ZipFile(folder / path, "w") as archive:
                archive.writestr("python/empty.py", "")
        done = subprocess.run(
            command,
            cwd=folder,
            env={**os.environ, **NOBODY, "PATH": search, "HOME": name},
            capture_output=True,
            text=True,
            timeout=180,
            check=False,
        )
    said = (done.stdout + done.stderr).strip()
    # The Serverless Framework may only warn of what its schema does not know.
    return said or "no reason given" if done.returncode or "Invalid configuration" in said else ""


def install() -> None:
    """Bring the environment up to its locks; nothing is done where nothing changed."""
    wanted = hashlib.sha256(b"".join((ROOT / name).read_bytes() for name in LOCKS)).hexdigest()
    stamp = PLACE / ".installed"
    if stamp.is_file() and stamp.read_text() == wanted:
        return
    shutil.rmtree(PLACE, ignore_errors=True)
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(PLACE)], check=True)
    pip = [os.environ.get("PYTHON", "python3"), "-m", "pip", "--python", str(PLACE), "--quiet", "--no-input"]
    subprocess.run([*pip, "install", "--require-hashes", "-r", str(ROOT / LOCKS[0])], check=True)
    if shutil.which("npm") is not None:
        shutil.copytree(ROOT / "requirements/serverless", PLACE / "serverless")
        # Scripts of packages are not run: none is needed, and they are other people's code outside of any sandbox.
        npm = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--silent"]
        subprocess.run([*npm, "--prefix", str(PLACE / "serverless")], check=True)
    stamp.write_text(wanted)


if __name__ == "__main__":
    sys.exit(main())
