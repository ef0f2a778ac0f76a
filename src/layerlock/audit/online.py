"""Asking the addresses of sources whether they still answer, and give what is pinned; politely, and each once."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Literal
from urllib.parse import urlsplit

from layerlock.audit.journal import Journal
from layerlock.errors import FetchError, HashMismatch, LayerlockError
from layerlock.events import silent
from layerlock.io.answers import Patience
from layerlock.io.http import AllFailed, Fetcher
from layerlock.io.nar import nar_sha256
from layerlock.model.lock import LockedFile, LockedGit
from layerlock.sources.fetch import Reach, download
from layerlock.sources.git import Refs, checkout, remote_refs
from layerlock.sources.origins import Address, Refusal
from layerlock.store.local import LocalStore

MOST: Final = 8
"""Connections at once: what browsers allow themselves with one server, and a little."""
PATIENCE: Final = Patience(connect=8, read=15, answer=30, tries=2, pause=0.5, longest_pause=5)
GIVEN_UP: Final = 3
"""Failures to connect to a host in a row, after which it is not asked any more."""

State = Literal["good", "changed", "silent"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Look:
    """What came of asking one address: it gives the pinned bytes, gives others, or does not answer; and why."""

    url: str
    state: State
    why: str = ""


class Online:
    """Asks on behalf of one audit; layers share most of their sources."""

    def __init__(self, reach: Reach, store: LocalStore, journal: Journal, *, deep: bool) -> None:
        """`deep` fetches whole files and hashes them; else the size that a server tells has to do."""
        self.reach = replace(
            reach,
            fetcher=Fetcher(patience=PATIENCE, certificates=reach.origins.certificates),
            git=replace(reach.git, seconds=600, stall=30),
        )
        self._store = store
        self._journal = journal
        self._deep = deep
        self._looks: dict[tuple[str, str], Look] = {}
        self._refs: dict[tuple[str, str | None, str | None], Refs | str] = {}
        self._failures: dict[str, int] = {}
        self._guard = threading.Lock()

    def looks(self, pins: Iterable[LockedFile | LockedGit]) -> dict[str, tuple[Look, ...]]:
        """Ask every address of every pin; give what came of it, by the pin's key, in the order of its addresses."""
        wanted = list(pins)
        asked = {(url, _content(pin)): pin for pin in wanted for url in pin.urls}
        new = [question for question in asked if question not in self._looks]
        with ThreadPoolExecutor(MOST, thread_name_prefix="audit") as pool:
            found = pool.map(lambda question: self._look(question[0], asked[question]), new)
            self._looks |= dict(zip(new, found, strict=True))
        return {pin.key: tuple(self._looks[url, _content(pin)] for url in pin.urls) for pin in wanted}

    def refs(self, url: str, branch: str | None, tag: str | None) -> Refs | str:
        """Give what a branch and a tag of a repository name now, or the reason why that is not known."""
        key = (url, branch, tag)
        with self._guard:
            if key in self._refs:
                return self._refs[key]
        found: Refs | str
        try:
            found = remote_refs(self.reach.git, (url,), branch=branch, tag=tag)
        except LayerlockError as error:
            found = error.message
        with self._guard:
            self._refs[key] = found
        return found

    def _look(self, url: str, pin: LockedFile | LockedGit) -> Look:
        content = _content(pin)
        if self._journal.holds(url, content, deep=self._deep):
            return Look(url=url, state="good")
        group = _group(url)
        if self._failures.get(group, 0) >= GIVEN_UP:
            return Look(
                url=url, state="silent", why="not asked any more: its host did not answer the ones before"
            )
        look = self._git(url, pin) if isinstance(pin, LockedGit) else self._file(url, pin)
        with self._guard:
            # A host that answers, be it with a refusal, is not given up.
            dead = look.state == "silent" and "answers" not in look.why and "list" not in look.why
            self._failures[group] = self._failures.get(group, 0) + 1 if dead else 0
        if look.state == "good":
            self._journal.add(url, content, deep=self._deep)
        return look

    def _file(self, url: str, pin: LockedFile) -> Look:
        if self._deep:
            return self._whole_file(url, pin)
        reasons: list[str] = []
        changed = ""
        try:
            for address in self.reach.origins.resolve(url, pin.sha256):
                if isinstance(address, Refusal):
                    reasons.append(address.reason)
                    changed = changed or (address.reason if address.found is not None else "")
                    continue
                try:
                    size = self._size(address)
                except (FetchError, OSError) as error:
                    reasons.append(_reason(error, address))
                    continue
                if size in (None, pin.size):
                    return Look(url=url, state="good")
                changed = changed or f"it has {size} bytes where {pin.size} are pinned"
        except LayerlockError as error:
            reasons.append(error.message)
        if changed:
            return Look(url=url, state="changed", why=changed)
        return Look(
            url=url, state="silent", why="; ".join(dict.fromkeys(reasons)) or "there is no such place"
        )

    def _size(self, address: Address) -> int | None:
        if address.file is not None:
            return address.file.stat().st_size
        return self.reach.fetcher.size(address.url, permit=address.permit)

    def _whole_file(self, url: str, pin: LockedFile) -> Look:
        with self._store.scratch("audit") as scratch:
            try:
                download(
                    pin.key,
                    (url,),
                    pin.sha256,
                    pin.size,
                    scratch / "file",
                    fetcher=self.reach.fetcher,
                    origins=self.reach.origins,
                    emit=silent,
                )
            except HashMismatch as error:
                return Look(url=url, state="changed", why=error.message.removeprefix(f"{pin.key}: "))
            except LayerlockError as error:
                state: State = "changed" if "bytes where" in error.message else "silent"
                return Look(url=url, state=state, why=error.message.removeprefix(f"{pin.key}: "))
        return Look(url=url, state="good")

    def _git(self, url: str, pin: LockedGit) -> Look:
        if not self._deep:
            branch, tag = ref_of(pin)
            found = self.refs(url, branch, tag)
            return (
                Look(url=url, state="silent", why=found)
                if isinstance(found, str)
                else Look(url=url, state="good")
            )
        with self._store.scratch("audit") as scratch:
            try:
                tree = checkout(
                    self.reach.git,
                    (url,),
                    pin.commit,
                    scratch=scratch,
                    name=pin.key,
                    with_submodules=pin.submodules,
                )
                found = nar_sha256(Path(tree))
            except LayerlockError as error:
                return Look(url=url, state="silent", why=error.message)
        if found == pin.tree:
            return Look(url=url, state="good")
        return Look(
            url=url, state="changed", why=f"the checkout has the tree hash {found}; pinned is {pin.tree}"
        )


def ref_of(pin: LockedGit) -> tuple[str | None, str | None]:
    """Give the branch and the tag that a pin's ref names."""
    ref = pin.ref or ""
    branch = ref.removeprefix("refs/heads/") if ref.startswith("refs/heads/") else None
    return branch, ref.removeprefix("refs/tags/") if ref.startswith("refs/tags/") else None


def _content(pin: LockedFile | LockedGit) -> str:
    return pin.sha256 if isinstance(pin, LockedFile) else pin.tree


def _group(url: str) -> str:
    """Give what fails together: a host, or a registry."""
    return urlsplit(url).hostname or url.partition("/")[0].partition(":")[0]


def _reason(error: FetchError | OSError, address: Address) -> str:
    """Give the reason of a failure without the address of a registry."""
    if isinstance(error, AllFailed):
        text = "; ".join(reason for _, reason in error.reasons)
    else:
        text = error.message if isinstance(error, FetchError) else error.strerror or str(error)
    host = urlsplit(address.url).hostname
    return text.replace(host, "its host") if host and address.shown != address.url else text
