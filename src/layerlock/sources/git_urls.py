"""Which git addresses, ref names and submodule tables are let in."""

from __future__ import annotations

import posixpath
import re
from dataclasses import dataclass

from layerlock.errors import InvalidRecipe, UnsafeArchive

_HOST = r"[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?"
_PATH = r"/(?!-)[^\s\x00-\x1f\x7f]*"
_USER = r"[A-Za-z0-9_][A-Za-z0-9_.-]*"
_REMOTE = re.compile(
    rf"https://{_HOST}(?::\d+)?{_PATH}"
    rf"|git://{_HOST}(?::\d+)?{_PATH}"
    rf"|ssh://(?:{_USER}@)?{_HOST}(?::\d+)?{_PATH}"
    # scp's form, `git@host:path`; a second colon would be a transport helper such as `ext::`.
    rf"|{_USER}@{_HOST}:(?![:-])[^\s\x00-\x1f\x7f]+"
)
_FILE = re.compile(r"file:///[^\s\x00-\x1f\x7f]+")


@dataclass(frozen=True, kw_only=True, slots=True)
class Submodule:
    """One entry of a `.gitmodules` file."""

    name: str
    path: str
    url: str


def check_repository(url: str, *, local: bool = False) -> None:
    """Refuse an address that a recipe must not name as a repository.

    Raises:
        InvalidRecipe: it is not an https, ssh or git address.
    """
    if not _allowed(url, local=local):
        raise InvalidRecipe(
            f"`{url}` is not an address that git may fetch from",
            hint="use https://HOST/PATH, ssh://HOST/PATH or git://HOST/PATH",
        )


def check_ref(ref: str) -> None:
    """Refuse a branch or tag that is no ref name, by the rules of git-check-ref-format(1).

    Raises:
        InvalidRecipe: it is none, or looks like an option.
    """
    parts = ref.split("/")
    wrong = (
        ref.startswith("-")
        or ref.endswith(".")
        or ref == "@"
        or any(bad in ref for bad in ("..", "@{", "\\"))
        or re.search(r"[\x00-\x20\x7f~^:?*\[]", ref)
        or any(not part or part.startswith(".") or part.endswith(".lock") for part in parts)
    )
    if wrong:
        raise InvalidRecipe(f"`{ref}` is not the name of a branch or tag")


def submodules(listed: bytes, where: str) -> tuple[Submodule, ...]:
    """Read what `git config --file .gitmodules --null --list` gives.

    Keys other than `path` and `url` (such as `update`, which can name a command) are not looked at.

    Raises:
        UnsafeArchive: a path leaves the tree or enters a `.git`, or is stated twice.
    """
    stated: dict[str, dict[str, str]] = {}
    for record in listed.split(b"\0"):
        name, newline, value = record.decode(errors="surrogateescape").partition("\n")
        found = re.fullmatch(r"submodule\.(.*)\.(path|url)", name, re.DOTALL)
        if found and newline:
            stated.setdefault(found[1], {})[found[2]] = value
    made = tuple(
        Submodule(name=name, path=_inside(keys["path"], where), url=keys["url"])
        for name, keys in sorted(stated.items())
        if {"path", "url"} <= keys.keys()
    )
    paths = [module.path for module in made]
    if len(set(paths)) < len(paths):
        raise UnsafeArchive(f".gitmodules of {where} states a path twice")
    return made


def submodule_urls(
    module: Submodule, parents: tuple[str, ...], where: str, *, local: bool
) -> tuple[str, ...]:
    """Give the addresses of a submodule; a relative one is resolved against each address of its parent.

    Raises:
        UnsafeArchive: it is of a kind that git must not fetch from.
    """
    relative = module.url.startswith(("./", "../"))
    made = [
        _resolved(parent, module.url) if relative else module.url
        for parent in parents[: None if relative else 1]
    ]
    for url in made:
        if url is None or not _allowed(url, local=local):
            raise UnsafeArchive(
                f"the submodule `{shown(module.path)}` of {where} asks to be fetched from `{shown(module.url)}`",
                hint="only https, ssh and git addresses are followed; `submodules = false` leaves submodules out",
            )
    return tuple(dict.fromkeys(url for url in made if url is not None))


def _allowed(url: str, *, local: bool) -> bool:
    return bool(_REMOTE.fullmatch(url) or (local and _FILE.fullmatch(url)))


def _resolved(parent: str, relative: str) -> str | None:
    """Resolve as git does: each `../` takes the last part of the parent's path away. None where nothing is left."""
    found = re.fullmatch(r"([a-z]+://[^/]*|[^/:]+@[^/:]+(?=:))([:/].*)", parent)
    if not found:
        return None
    origin, separator, path = found[1], found[2][0], found[2][1:].rstrip("/")
    parts = path.split("/")
    rest = relative
    while rest.startswith(("./", "../")):
        step, _, rest = rest.partition("/")
        if step == "..":
            if not parts:
                return None
            parts.pop()
    if not rest or any(part in {"", ".", ".."} for part in rest.rstrip("/").split("/")):
        return None
    return origin + separator + "/".join([*parts, rest])


def _inside(path: str, where: str) -> str:
    parts = path.split("/")
    hostile = (
        not path
        or path.startswith(("/", "-"))
        or posixpath.normpath(path) != path.rstrip("/")
        or any(part in {"", ".", ".."} or part.lower() == ".git" for part in path.rstrip("/").split("/"))
        or any(ord(c) < 32 or c == "\\" for c in path)
        or len(parts) > 64
    )
    if hostile:
        raise UnsafeArchive(f"a submodule of {where} asks to stand at `{shown(path)}`")
    return path.rstrip("/")


def shown(text: str) -> str:
    """Give a name out of a repository as a message may hold it: printable, and not too long."""
    return "".join(c if c.isprintable() and not "\ud800" <= c <= "\udfff" else "?" for c in text)[:200]
