"""Write into docs/fastai.md what each prune rule of a layer saves: python -m tools.savings LAYER... [--store DIR]

A rule's reason is in the layer's hashes, so that a number in it would make the layer another one whenever it changed.
The layers have to be built in the store.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parent.parent
PAGE: Final = ROOT / "docs" / "fastai.md"


def main() -> None:
    """Ask what the layers weigh, and write their tables."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("layers", nargs="+", metavar="LAYER", help="layers that the page has a table of")
    parser.add_argument("--store", help="the store that they are built in")
    options = parser.parse_args()
    text = PAGE.read_text()
    for layer in options.layers:
        text = with_table(text, layer, table(saved(layer, options.store)))
    PAGE.write_text(text)


def saved(layer: str, store: str | None) -> list[dict[str, Any]]:
    """Give the rules of a layer as `layerlock size` has them: `rule`, `reason`, `files`, `bytes` before stripping."""
    command = [sys.executable, "-m", "layerlock", "--json", *(("--store", store) if store else ())]
    done = subprocess.run([*command, "size", layer], cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    rules: list[dict[str, Any]] = json.loads(done.stdout.splitlines()[-1])["saved"]
    return rules


def table(rules: list[dict[str, Any]]) -> str:
    """Write the rules, the heaviest first."""
    lines = ["| rule | files | MB | reason |", "| --- | ---: | ---: | --- |"]
    for rule in sorted(rules, key=lambda rule: -int(rule["bytes"])):
        reason = rule["reason"].replace("|", "\\|")
        lines.append(f"| {rule['rule']} | {rule['files']:,} | {rule['bytes'] / 1e6:.2f} | {reason} |")
    files, total = (sum(rule[key] for rule in rules) for key in ("files", "bytes"))
    return "\n".join((*lines, f"| all | {files:,} | {total / 1e6:.2f} | |"))


def with_table(text: str, layer: str, made: str) -> str:
    """Put a table where the page has one of the layer."""
    mark = f"<!-- generated: saved by {layer} -->"
    if mark not in text:
        raise SystemExit(f"{PAGE} has no place for {layer}: {mark}")
    return re.sub(
        rf"({re.escape(mark)}\n).*?(<!-- end -->)",
        lambda found: f"{found[1]}\n{made}\n\n{found[2]}",
        text,
        flags=re.DOTALL,
    )


if __name__ == "__main__":
    main()
