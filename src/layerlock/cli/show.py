"""`layerlock show`: what a recipe repository holds, and what one target is made of."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from layerlock.cli.arguments import add_offline
from layerlock.cli.help import Help
from layerlock.cli.targets import check_target, is_layer
from layerlock.ui.text import count, printable, size, table

if TYPE_CHECKING:
    import argparse

    from layerlock.cli.call import Call
    from layerlock.io.repository import Repository
    from layerlock.model.lock import LockedSource
    from layerlock.workflows.driver import Driver

HELP = Help(
    about="Without a name, lists the layers and packages of the recipe repository. With one, shows what it is made of: "
    "every derivation in build order with its planned hash, which is known before anything is built, and whether "
    "its output is in the store, with its size; and every source with its size.",
    writes="nothing.",
    examples=("layerlock show", "layerlock show cv"),
    related=("build", "log"),
)


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("name", nargs="?", metavar="NAME", help="a layer or a package")
    add_offline(parser)


def run(call: Call) -> int:
    """List everything, or show one target."""
    name = call.option("name")
    if name is None:
        rows = _listed(call.repository)
        call.result(_as_text(rows), {"recipes": rows})
        return 0
    check_target(call.repository, name)
    with call.driver() as driver:
        shown = _resolved(driver, name)
    call.result(_as_page(shown), shown)
    return 0


def _listed(repository: Repository) -> list[dict[str, Any]]:
    from layerlock.io.lockfile import read_zip  # noqa: PLC0415 - brings the writer of locks in

    rows: list[dict[str, Any]] = []
    for name in repository.targets():
        layer = repository.layer(name).layer
        recorded = read_zip(repository.lock_path(name))
        rows.append(
            {
                "kind": "function" if name in repository.names("functions") else "layer",
                "name": name,
                "version": layer.runtime,
                "architecture": layer.architecture,
                "unzipped": recorded.unzipped if recorded is not None else None,
                "size": recorded.size if recorded is not None else None,
                "summary": layer.summary,
                "locked": repository.lock_path(name).is_file(),
            }
        )
    for name in repository.names("packages"):
        about = repository.package(name).package
        rows.append({"kind": "package", "name": name, "version": about.version, "summary": about.summary})
    return rows


def _as_text(rows: list[dict[str, Any]]) -> str:
    zips = [row for row in rows if row["kind"] != "package"]
    cells = [
        (
            row["name"],
            printable(row["version"]),
            row["architecture"],
            "" if row["unzipped"] is None else size(row["unzipped"]),
            "" if row["size"] is None else size(row["size"]),
            printable(row["summary"]) + ("" if row["locked"] else " (no lock yet)"),
        )
        for row in zips
    ]
    head = ("", "runtime", "processor", "unzipped", "zipped", "")
    top, *lines = table([head, *cells], indent="  ", right=frozenset({3, 4})).split("\n")
    layers = [line for row, line in zip(zips, lines, strict=True) if row["kind"] == "layer"]
    functions = [line for row, line in zip(zips, lines, strict=True) if row["kind"] == "function"]
    parts = [f"layers:{top.removeprefix(' ' * 7)}" if layers else "layers:", *(layers or ["  none"])]
    parts += ["functions:", *functions] if functions else []
    packages = [
        (row["name"], printable(row["version"]), printable(row["summary"]))
        for row in rows
        if row["kind"] == "package"
    ]
    return "\n".join([*parts, "packages:", table(packages, indent="  ") if packages else "  none"])


def _resolved(driver: Driver, name: str) -> dict[str, Any]:
    from layerlock.workflows.planning import load  # noqa: PLC0415 - the list does without it

    loaded = load(driver, name)
    plan, pins, recorded = loaded.plan, loaded.pins, loaded.recorded
    repository = driver.repository
    if is_layer(repository, name):
        kind = "function" if name in repository.names("functions") else "layer"
        about: dict[str, Any] = {"kind": kind, "summary": repository.layer(name).layer.summary}
    else:
        package = repository.package(name).package
        about = {
            "kind": "package",
            "version": package.version,
            "summary": package.summary,
            "homepage": package.homepage,
            "license": package.license,
        }
    derivations: list[dict[str, Any]] = []
    for derivation in plan.derivations:
        planned = plan.planned[derivation.name]
        made = driver.store.planned(planned)
        place = driver.store.tree(made.output) if made is not None else None
        built = made is not None and place is not None
        derivations.append(
            {
                "name": derivation.name,
                "version": derivation.version,
                "planned": planned,
                "built": built,
                "output": made.output if made is not None and built else None,
                "size": made.size if made is not None and built else None,
                "path": str(place) if built else None,
                "recorded": recorded.get(derivation.name),
            }
        )
    stated = {source.key: source.identity for d in plan.derivations for source in d.sources}
    sources = [_source(driver, key, stated[key], pins.get(key)) for key in sorted(stated)]
    return {"name": name, **about, "derivations": derivations, "sources": sources}


def _source(driver: Driver, key: str, identity: str, pin: LockedSource | None) -> dict[str, Any]:
    from layerlock.model.lock import LockedFile, LockedGit  # noqa: PLC0415 - the list does without it

    kind, _, sha256 = identity.partition(":")
    found = driver.store.file(sha256) if kind == "sha256" else driver.store.tree(identity)
    return {
        "key": key,
        "of": "environment"
        if key.partition("/")[0] in driver.repository.names("environments")
        else "package",
        "scheme": pin.urls[0].partition(":")[0] if isinstance(pin, LockedFile | LockedGit) else None,
        "hash": sha256 or identity,
        "size": pin.size if isinstance(pin, LockedFile) else None,
        "commit": pin.commit if isinstance(pin, LockedGit) else None,
        "fetched": found is not None,
    }


def _as_page(shown: dict[str, Any]) -> str:
    title = " ".join(part for part in (shown["name"], shown.get("version", "")) if part)
    about = [f"{title}: {printable(shown['summary'])}" if shown["summary"] else title]
    about += [printable(shown[key]) for key in ("homepage", "license") if shown.get(key)]
    builds = [("derivation", "planned", "size", "output")]
    builds += [
        (
            row["name"],
            row["planned"][:16],
            size(row["size"]) if row["built"] else "",
            _standing(row["output"], row["recorded"]),
        )
        for row in shown["derivations"]
    ]
    sources = [("source", "size", "hash", "")]
    sources += [
        (
            printable(row["key"]),
            "" if row["size"] is None else size(row["size"]),
            row["hash"][:23],
            "fetched" if row["fetched"] else "not fetched",
        )
        for row in shown["sources"]
        if row["of"] == "package"
    ]
    sources += _environments([row for row in shown["sources"] if row["of"] == "environment"])
    numbers = frozenset({2})
    pages = ["\n".join(about), table(builds, right=numbers), table(sources, right=frozenset({1}))]
    return "\n\n".join(pages if shown["sources"] else pages[:2])


def _environments(rows: list[dict[str, Any]]) -> list[tuple[str, str, str, str]]:
    """Sum up the Debian packages, or the image's layers, of each environment: there are hundreds."""
    made = []
    for name in sorted({row["key"].partition("/")[0] for row in rows}):
        files = [row for row in rows if row["key"].partition("/")[0] == name]
        fetched = sum(row["fetched"] for row in files)
        standing = "fetched" if fetched == len(files) else f"{fetched} fetched"
        total = size(sum(row["size"] or 0 for row in files))
        called = "image layer" if files[0]["scheme"] == "oci" else "Debian package"
        made.append((name, total, count(len(files), called), standing))
    return made


def _standing(output: str | None, recorded: str | None) -> str:
    """Say where an output stands between the store and the lock."""
    if output is None:
        return "not built" if recorded is None else "not built, recorded"
    if recorded is None:
        return "built, not recorded"
    return "built as recorded" if output == recorded else "built, DIFFERS from the record"
