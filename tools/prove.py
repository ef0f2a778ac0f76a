"""Rebuild a layer in three ways that differ as far as one machine allows, and compare every output.

    ./nox -s prove                         the layer cv; Docker's engine has to answer (DOCKER_HOST)
    ./nox -s prove -- --folder DIR         keep stores and findings there; a part that is there is not done again
    ./nox -s prove -- --layer NAME         another layer; nothing is written
    ./nox -s prove -- --past REVISION      which past lock is reproduced; the one before the newest if left out

1. `check`: each derivation from the stored inputs, under all variations together.
2. `reproduce --from`: everything from an archive, from an empty store, in Docker's sandbox, in a network namespace
   without a network; recipes and guest code come out of the archive too.
3. `reproduce LAYER@REVISION`: a past lock, from an empty store, with its own revision's recipes and guest code.

What they found is written to docs/reproducibility.md for the layer cv, whether everything is the same or not.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

import tomli

from tools.calls import LAYERLOCK, ROOT, Called, Event, call, read_events, table, this_machine
from tools.files import remove

PAGE = ROOT / "docs" / "reproducibility.md"
# Smoke tests are no part of a layer: what they leave is how long they took.
UNCOMPARED = "-smoke"


def main() -> int:
    """Rebuild and compare; give the exit status."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--layer", default="cv")
    options.add_argument("--folder", type=Path)
    options.add_argument("--past", metavar="REVISION")
    chosen = options.parse_args()
    layer = chosen.layer
    folder = (chosen.folder or Path(tempfile.mkdtemp(prefix="layerlock-prove-"))).absolute()
    folder.mkdir(parents=True, exist_ok=True)
    call("build", layer, "--out", str(folder / "built"))
    varied = kept(folder / "varied.jsonl", "check", layer)
    archived = kept(folder / "archive.jsonl", "archive", layer, "--to", str(folder / "archive"))
    isolated = kept(
        folder / "isolated.jsonl",
        *("reproduce", layer, "--from", str(folder / "archive"), "--sandbox", "docker"),
        alone=folder / "empty",
    )
    past = kept(folder / "past.jsonl", "reproduce", f"{layer}@{chosen.past or before_the_newest(layer)}")
    page, same = written(layer, varied.result, archived.result, isolated.result, past.result)
    print(page)
    if layer == "cv":
        PAGE.write_text(page)
    if chosen.folder is None:
        remove(folder)
    return 0 if same else 1


def kept(events: Path, *arguments: str, alone: Path | None = None) -> Called:
    """Call the driver unless an earlier call's events are there.

    With `alone`, an empty folder, the call gets it as home and current folder, no store but one inside it, and a
    network namespace in which nothing can be reached.
    """
    if events.exists():
        return read_events(events)
    print(f"layerlock {' '.join(arguments)}", file=sys.stderr)
    partly = events.with_suffix(".partly")
    if alone is None:
        called = call(*arguments, events=partly, failing=True)
    else:
        alone.mkdir()
        variables = {
            "PATH": os.environ["PATH"],
            "HOME": str(alone),
            **{name: os.environ[name] for name in ("DOCKER_HOST",) if name in os.environ},
        }
        command = ["unshare", "--net", *([] if os.geteuid() == 0 else ["--map-current-user"]), str(LAYERLOCK)]
        called = call(
            *arguments, command=command, folder=alone, variables=variables, events=partly, failing=True
        )
    if called.of("Result"):
        partly.rename(events)
        return called
    sys.exit(f"nothing came of: layerlock {' '.join(arguments)}")


def before_the_newest(layer: str) -> str:
    """Give the commit of the last lock but one that recorded a zip."""
    recorded = [
        past["revision"] for past in call("history", layer).result["locks"] if past["zip"] is not None
    ]
    if len(recorded) < 2:
        sys.exit(f"the history has no past lock of {layer}: name one with --past")
    return str(recorded[1])


def written(layer: str, varied: Event, archived: Event, isolated: Event, past: Event) -> tuple[str, bool]:
    """Write the page; say whether everything is the same."""
    lock = tomli.loads((ROOT / "lockfiles" / f"{layer}.lock").read_text())
    verdicts = {row["name"]: row["verdict"] for row in varied["derivations"]}
    rows: list[tuple[str, ...]] = [
        (
            "derivation",
            "recorded output",
            "all variations together",
            "archive, no network, Docker",
            "past lock",
        )
    ]
    same = varied["matched"] and isolated["identical"] and past["identical"]
    for derivation in lock["derivations"]:
        name = derivation["name"]
        if name.endswith(UNCOMPARED) or name not in verdicts:
            continue
        rows.append(
            (
                f"`{name}`",
                f"`{derivation['output']}`",
                verdicts[name],
                compared(isolated, name),
                compared(past, name),
            )
        )
    zips = [(lock["zip"]["sha256"], found["zip_sha256"]) for found in (isolated, past)]
    rows.append(
        (
            f"`{layer}.zip`",
            f"`{lock['zip']['sha256']}`",
            "packed by `layer-" + layer + "-zip`",
            *("match" if ours == theirs else f"`{theirs}`" for ours, theirs in zips),
        )
    )
    in_force = [("variation", "what is different under it")]
    used = {
        name
        for derivation in varied["derivations"]
        for attempt in derivation["attempts"]
        for name in attempt["variations"]
    }
    in_force += [(f"`{v['name']}`", v["changes"]) for v in varied["variations"] if v["name"] in used]
    absent = [f"- `{v['name']}`: {v['obstacle']}" for v in varied["variations"] if v["obstacle"]]
    finding = "Everything came out the same." if same else "**Not everything came out the same.**"
    page = "\n".join(
        (
            "# Built again",
            "",
            f"<!-- Written by `./nox -s prove`. -->\n\nThe layer `{layer}`, rebuilt in three ways on {this_machine()}."
            " Each output is named by the sha256 of its NAR serialisation, as `layerlock hash` and `nix hash path`"
            " compute it; the zip by the sha256 of the file. Smoke tests are left out: what they leave is how long they"
            " took.",
            "",
            f"- *All variations together*: `layerlock check {layer}`, every derivation from the stored inputs, once,"
            " with everything below in force at the same time.",
            f"- *Archive, no network, Docker*: `layerlock archive {layer}` ({archive_size(archived)}), then `layerlock"
            f" reproduce {layer} --from ARCHIVE --sandbox docker` in an empty folder with an empty home and store, in a"
            " network namespace without a network.",
            f"- *Past lock*: `layerlock reproduce {layer}@{(past['revision'] or '')[:12]}`, from an empty store, with"
            " that revision's recipes, patches and guest code, by bubblewrap.",
            "",
            finding,
            "",
            table(*rows),
            *differences(varied),
            "## What was varied",
            "",
            table(*in_force),
            *(["Not varied in this run:", "", *absent, ""] if absent else []),
        )
    )
    return page, bool(same)


def differences(varied: Event) -> list[str]:
    """Give a section on what did not match under the variations; empty where everything did."""
    rows = [
        f"- `{row['name']}`: {row['verdict']}; {row['reason']}"
        for row in varied["derivations"]
        if row["reason"]
    ]
    return ["## What differs", "", *rows, ""] if rows else []


def compared(verdict: Mapping[str, object], name: str) -> str:
    """Say what a reproduction found of a derivation."""
    difference = verdict.get("difference")
    if isinstance(difference, dict) and difference["name"] == name:
        return f"**differs**: `{difference['found']}`"
    return "match" if name in verdict["compared"] else "not built"  # type: ignore[operator]


def archive_size(archived: Event) -> str:
    """Say what an archive holds."""
    return f"{archived['files']:,} files, {archived['size'] / 1e6:,.0f} MB"


if __name__ == "__main__":
    sys.exit(main())
