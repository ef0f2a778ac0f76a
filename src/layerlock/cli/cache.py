"""`layerlock cache`: sharing what was built, by way of binary caches."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Final

from layerlock.cli.arguments import add_offline
from layerlock.cli.help import Help
from layerlock.cli.targets import check_target
from layerlock.errors import BadCache, UsageError
from layerlock.ui.text import count, printable, size, table

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    from layerlock.cache.bring import Cache
    from layerlock.cli.call import Call
    from layerlock.workflows.driver import Driver

HELP = Help(
    about="Works with the binary caches that recipes/caches.toml lists (S3 buckets, folders, or either behind plain "
    "HTTP). Builds ask them by themselves, for what the store lacks, and use only what a key of recipes/caches.toml "
    "signed and what the lock does not contradict. keygen FILE makes a key. push NAME signs what was built of a layer "
    "or package, and writes it with its sources. pull NAME brings everything of it into the store. info [NAME] says "
    "which caches and keys there are, and what they have. verify [NAME] checks signatures and contents. sign NAME adds "
    "another key's signature, before the older one is given up. LAYERLOCK_CACHE_KEY holds the private key (PEM), "
    "where --key is not given.",
    writes="push and sign: objects in the cache. pull: the store. keygen: the key, readable by its owner alone.",
    examples=(
        "layerlock cache keygen ~/.config/layerlock/cache.pem",
        "layerlock cache push cv --key ~/.config/layerlock/cache.pem",
        "layerlock cache verify cv --cache team",
    ),
    related=("build", "fetch", "verify"),
)

NAMED: Final = frozenset({"push", "pull", "sign"})
"""What cannot be done without a layer or package."""
SIGNING: Final = frozenset({"push", "sign"})
VARIABLE: Final = "LAYERLOCK_CACHE_KEY"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("action", choices=[*ACTIONS], metavar="ACTION", help=", ".join(ACTIONS))
    parser.add_argument("name", nargs="?", metavar="NAME", help="a layer or a package; of keygen: a file")
    parser.add_argument("--cache", metavar="CACHE", help="which cache; needed where there are several")
    parser.add_argument("--key", metavar="KEY", help="an ed25519 private key in PEM, of mode 0600")
    add_offline(parser)


def run(call: Call) -> int:
    """Do what the action says."""
    action, name = call.options.action, call.option("name")
    if name is None and action in (*NAMED, "keygen"):
        wanted = "FILE" if action == "keygen" else "NAME"
        raise UsageError(
            f"`cache {action}` needs a {wanted.lower()}", hint=f"layerlock cache {action} {wanted}"
        )
    if call.option("key") is not None and action not in SIGNING:
        raise UsageError(f"`cache {action}` takes no --key")
    if name is not None and action != "keygen":
        check_target(call.repository, name)
    ACTIONS[action](call)
    return 0


def keygen(call: Call) -> None:
    """Make a key."""
    from layerlock.cache.keys import make_key  # noqa: PLC0415 - usage errors are told without it

    path: Path = call.current / call.options.name
    public = make_key(path)
    lines = (
        f"{call.shown(path)}: the private key; keep it, and show it to nobody",
        "what recipes/caches.toml needs, so that what it signs is used:",
        "",
        "[[keys]]",
        f'name = "{_key_name(path)}"',
        f'key = "{public}"',
    )
    call.result("\n".join(lines), {"path": str(path), "key": public})


def push(call: Call) -> None:
    """Sign and write."""
    from layerlock.workflows.caching import push_closure  # noqa: PLC0415 - as above

    key = signing_key(call)
    with call.driver() as driver:
        cache = _cache(call, driver)
        done = push_closure(driver, call.options.name, cache, key)
    text = (
        f"{count(done.entries, 'output')} signed; {size(done.bytes)} in {count(done.written, 'object')} written to "
        f"{cache.place.address} as {size(done.packed)}, {done.there} were there"
    )
    call.result(text, {"cache": cache.name, **asdict(done)})


def pull(call: Call) -> None:
    """Bring into the store."""
    from layerlock.workflows.caching import pull_closure  # noqa: PLC0415 - as above

    with call.driver() as driver:
        done = pull_closure(driver, call.options.name)
    lines = [f"{count(len(done.outputs), 'output')} and {count(len(done.sources), 'source')} came"]
    if done.missing_outputs:
        lines.append(f"  no cache has the outputs {', '.join(done.missing_outputs)}")
    if done.missing_sources:
        lines.append(
            f"  no cache has {count(len(done.missing_sources), 'source')}; they are fetched when needed"
        )
    call.result("\n".join(lines), asdict(done))


def info(call: Call) -> None:
    """Say what there is."""
    from layerlock.workflows.caches import read_caches  # noqa: PLC0415 - as above
    from layerlock.workflows.caching import holdings  # noqa: PLC0415 - as above

    named = call.option("name")
    document = read_caches(call.root)
    fields: list[dict[str, object]] = []
    rows: list[tuple[str, ...]] = []
    with call.driver() as driver:
        opened = _opened(driver)
        refused = dict(opened[0].trust.refused) if opened else {}
        for cache in opened:
            told: dict[str, object] = {"cache": cache.name, "address": cache.place.address}
            said = ""
            if named is not None:
                held = holdings(driver, named, cache)
                told |= asdict(held)
                said = f"{count(len(held.outputs), 'output')} of {named}, {size(held.bytes)}"
                said += f"; {len(held.refused)} not to be used" if held.refused else ""
            fields.append(told)
            rows.append((cache.name, cache.place.address, said))
    keys = [
        (key.name, key.key, refused.get(key.key, f"until {key.not_after}" if key.not_after else "trusted"))
        for key in document.keys
    ]
    lines = [table(rows)] if rows else ["recipes/caches.toml lists no cache"]
    lines += ["keys:", table(keys, indent="  ")] if keys else []
    call.result(
        "\n".join(printable(line) for text in lines for line in text.splitlines()),
        {"caches": fields, "keys": [{"name": n, "key": k, "state": s} for n, k, s in keys]},
    )


def verify(call: Call) -> None:
    """Check a cache."""
    from layerlock.workflows.caching import verify_cache  # noqa: PLC0415 - as above

    with call.driver() as driver:
        cache = _cache(call, driver)
        objects, flaws = verify_cache(driver, call.option("name"), cache)
    fields = {"cache": cache.name, "objects": objects, "flaws": [asdict(flaw) for flaw in flaws]}
    if not flaws:
        call.result(f"{count(objects, 'object')} of {cache.place.address} are what they say", fields)
        return
    call.result("\n".join(printable(f"{flaw.key}: {flaw.problem}") for flaw in flaws), fields)
    raise BadCache(
        f"{count(len(flaws), 'finding')} in {cache.place.address}",
        hint="no build uses any of it; remove those objects, and push again what was built",
    )


def sign(call: Call) -> None:
    """Add a signature."""
    from layerlock.workflows.caching import sign_closure  # noqa: PLC0415 - as above

    key = signing_key(call)
    with call.driver() as driver:
        cache = _cache(call, driver)
        written = sign_closure(driver, call.options.name, cache, key)
    call.result(
        f"{count(len(written), 'closure')} of {cache.place.address} signed anew",
        {"cache": cache.name, "closures": list(written)},
    )


ACTIONS: Final[dict[str, Callable[[Call], None]]] = {
    "push": push,
    "pull": pull,
    "info": info,
    "verify": verify,
    "sign": sign,
    "keygen": keygen,
}


def _opened(driver: Driver) -> tuple[Cache, ...]:
    return driver.substitutes.caches() if driver.substitutes is not None else ()


def _cache(call: Call, driver: Driver) -> Cache:
    """Give the cache that is named, or the only one."""
    opened = _opened(driver)
    named = call.option("cache")
    names = ", ".join(cache.name for cache in opened) or "none"
    if named is None and len(opened) == 1:
        return opened[0]
    if named is None:
        hint = "list one in recipes/caches.toml" if not opened else f"one of: {names}"
        raise UsageError("--cache is needed" if opened else "there is no cache", hint=hint)
    for cache in opened:
        if cache.name == named:
            return cache
    raise UsageError(f"there is no cache `{named}` in recipes/caches.toml", hint=f"there is: {names}")


def signing_key(call: Call) -> Ed25519PrivateKey:
    """Read the private key: from the file that is named, else out of the environment."""
    from layerlock.cache.keys import read_key_file, read_private_key  # noqa: PLC0415 - as above

    named = call.option("key")
    if named is not None:
        return read_key_file(call.current / named)
    text = call.variables.get(VARIABLE, "")
    if not text:
        raise UsageError(
            f"a key is needed: --key FILE, or {VARIABLE}", hint="layerlock cache keygen FILE makes one"
        )
    return read_private_key(text.encode(), VARIABLE)


def _key_name(path: Path) -> str:
    import re  # noqa: PLC0415 - for this alone

    return re.sub(r"[^a-z0-9._-]", "-", path.stem.lower()).lstrip("._-") or "key"
