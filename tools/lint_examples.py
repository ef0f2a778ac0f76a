"""Hold the templates of examples/ against those who know: AWS SAM, cfn-lint and the Serverless Framework itself.

    ./nox -s lint-examples

They are installed apart from everything else, into .venv-examples/, since what SAM pins contradicts the other locks:
requirements/examples.txt and requirements/serverless/package-lock.json, both with hashes. The framework's schema is
part of its program and is not copied here; `serverless print` reads a file, resolves it and holds it against that
schema (`configValidationMode: error`), without credentials and without a network.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PLACE = ROOT / ".venv-examples"
LOCKS = (
    "requirements/examples.txt",
    "requirements/serverless/package.json",
    "requirements/serverless/package-lock.json",
)


def main() -> int:
    """Install what is missing, and check every example; give the exit status."""
    install()
    failed = 0
    with tempfile.TemporaryDirectory() as home:
        kept = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
        variables = {**kept, "HOME": home, "SAM_CLI_TELEMETRY": "0", "SLS_TELEMETRY_DISABLED": "1"}
        for template in sorted(ROOT.glob("examples/*/template.yaml")):
            failed += run(
                PLACE / "bin/sam",
                "validate",
                "--lint",
                "--region=us-east-1",
                f"--template={template}",
                variables=variables,
            )
            failed += run(PLACE / "bin/cfn-lint", "--template", str(template), variables=variables)
        for service in sorted(ROOT.glob("examples/*/serverless.yml")):
            if shutil.which("node") is None:
                print(
                    f"skipped: {service.relative_to(ROOT)}: there is no node here, which the Serverless Framework needs"
                )
                continue
            program = PLACE / "serverless/node_modules/.bin/serverless"
            failed += run(program, "print", folder=service.parent, variables=variables)
    return 1 if failed else 0


def install() -> None:
    """Bring the environment up to its locks; nothing is done where nothing changed."""
    wanted = hashlib.sha256(b"".join((ROOT / name).read_bytes() for name in LOCKS)).hexdigest()
    stamp = PLACE / ".installed"
    if stamp.is_file() and stamp.read_text() == wanted:
        return
    shutil.rmtree(PLACE, ignore_errors=True)
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(PLACE)], check=True)
    pip = [
        os.environ.get("PYTHON", "python3"),
        "-m",
        "pip",
        "--python",
        str(PLACE),
        "--quiet",
        "--no-input",
        "install",
    ]
    subprocess.run([*pip, "--require-hashes", "-r", str(ROOT / LOCKS[0])], check=True)
    if shutil.which("npm") is not None:
        shutil.copytree(ROOT / "requirements/serverless", PLACE / "serverless")
        # Scripts of packages are not run: none is needed, and they are other people's code outside of any sandbox.
        npm = [
            "npm",
            "ci",
            "--ignore-scripts",
            "--no-audit",
            "--no-fund",
            "--silent",
            "--prefix",
            str(PLACE / "serverless"),
        ]
        subprocess.run(npm, check=True)
    stamp.write_text(wanted)


def run(program: Path, *arguments: str, variables: dict[str, str], folder: Path = ROOT) -> int:
    """Run a checker, show what it says if it is not content, and give 1 then."""
    done = subprocess.run(
        [str(program), *arguments], cwd=folder, env=variables, capture_output=True, text=True, check=False
    )
    print(f"{program.name} {' '.join(arguments)}: {'ok' if done.returncode == 0 else 'FAILED'}", flush=True)
    if done.returncode:
        print(done.stdout, done.stderr, sep="\n", flush=True)
    return 1 if done.returncode else 0


if __name__ == "__main__":
    sys.exit(main())
