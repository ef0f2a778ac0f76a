"""Pushing and substituting over real caches of each kind; nothing that is wrong is ever used."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from layerlock.cache.bring import Cache
from layerlock.cache.entry import Entry, closure_key, decode_closure, encode_closure
from layerlock.cache.folder import Folder
from layerlock.cache.frames import compress
from layerlock.cache.keys import Trust, signed, spelled
from layerlock.cache.lookup import Book
from layerlock.cache.place import Place
from layerlock.cache.push import push
from layerlock.io.nar import nar_chunks, nar_sha256
from layerlock.store.local import LocalStore

from .conftest import Bucket
from .plans import Team, blobs_of, entries_of, fill, make_plan


def test_a_closure_goes_out_and_comes_back(
    both: tuple[Place, Place], tmp_path: Path, fresh: LocalStore
) -> None:
    """By every kind of cache; a second push has nothing to do, and a target comes without what it was made from."""
    out, back = both
    team = Team(out, tmp_path, large=30 << 20)
    pushed = team.push()
    assert (pushed.entries, pushed.written, pushed.closures) == (6, 6, 6)
    again = team.push()
    assert (again.there, again.written, again.closures) == (6, 0, 0)
    reading = replace(team.cache, place=back)
    made = team.pull(fresh, cache=reading)
    assert made == {"zip": team.made["zip"]}
    assert [path.name[65:] for path in (fresh.root / "trees").iterdir()] == ["zip"]
    every = team.pull(fresh, *team.plan.planned, cache=reading, done=made)
    assert every == {name: one for name, one in team.made.items() if name != "zip"}
    for one in team.made.values():
        assert nar_sha256(fresh.held_tree(one.output)) == one.output
    assert fresh.planned(team.plan.planned["compiler"]) == team.made["compiler"]
    assert fresh.verify(lambda _: None) == ()
    assert team.warnings == ""


def test_a_whole_closure_is_one_request(bucket: Bucket, tmp_path: Path, fresh: LocalStore) -> None:
    team = Team(bucket.direct, tmp_path)
    team.push()
    everything = team.plan.planned
    seen = replace(team.cache, place=bucket.place)
    assert len(team.pull(fresh, *everything, cache=seen)) == 6
    closures = [path for path in bucket.rules.of("GET") if "/closures/" in path]
    assert len(closures) == 1
    assert len(bucket.rules.asked) == 1 + 6


@pytest.mark.parametrize("length", [5, 60])
def test_an_empty_cache_has_said_so_after_a_few_requests(length: int, tmp_path: Path) -> None:
    """However many derivations there are: without what everything needs nothing is there."""
    shape: dict[str, tuple[str, ...]] = {"root": ()}
    for number in range(length):
        shape[f"package-{number}"] = (*shape,)[-3:]
    plan = make_plan(shape)
    cache = Cache(name="empty", place=Folder(tmp_path), trust=Trust(keys=frozenset()))
    book = Book(cache, plan, lambda _: None)
    assert book.entries(f"package-{length - 1}", tuple(plan.planned)) == ()
    assert book.requests == 2


def test_what_changed_is_built_and_the_rest_comes(team: Team, fresh: LocalStore) -> None:
    """A target that no cache has is left to building, with the outputs that it needs, and no others."""
    derivations = tuple(replace(d, version="2") if d.name == "program" else d for d in team.plan.derivations)
    planned: dict[str, str] = {}
    for derivation in derivations:
        planned[derivation.name] = derivation.hash(planned)
    team.plan = replace(team.plan, derivations=derivations, planned=planned)
    made = team.pull(fresh)
    assert sorted(made) == ["compiler", "library", "other-root"]
    assert team.warnings == ""


Spoil = Callable[[Team, Path], None]


def closure(team: Team, change: Callable[[Entry], Entry]) -> None:
    """Change the target's entry in every closure that has it."""
    place = team.cache.place
    key = closure_key(team.plan.planned["zip"])
    data = place.read(key, 1 << 20)
    assert data is not None
    entries = [change(e) if e.name == "zip" else e for e in decode_closure(data)]
    place.write(key, iter([encode_closure(entries)]))


def unknown_key(team: Team, _: Path) -> None:
    other = Ed25519PrivateKey.generate()
    closure(team, lambda entry: signed(replace(entry, signatures=()), [other]))


def no_signature(team: Team, _: Path) -> None:
    closure(team, lambda entry: replace(entry, signatures=()))


def bad_signature(team: Team, _: Path) -> None:
    closure(team, lambda entry: replace(entry, size=entry.size + 8))


def another_output(team: Team, _: Path) -> None:
    closure(team, lambda entry: replace(entry, output=team.made["library"].output))


def replayed(team: Team, _: Path) -> None:
    """A true, signed entry of another derivation in the place of this one's."""
    place = team.cache.place
    stands = place.read(closure_key(team.plan.planned["library"]), 1 << 20)
    assert stands is not None
    place.write(closure_key(team.plan.planned["zip"]), iter([stands]))
    for key in ("program", "compiler", "root", "other-root"):
        place.write(closure_key(team.plan.planned[key]), iter([stands]))


def replayed_as_this(team: Team, _: Path) -> None:
    """The signed output of another derivation, under this one's name and planned hash."""
    library = team.entries["library"]
    closure(
        team, lambda entry: replace(library, name="zip", planned=entry.planned, signatures=library.signatures)
    )


def signed_but_other_inputs(team: Team, _: Path) -> None:
    """Signed by the trusted key, but with a resolved hash that is not the build's."""
    closure(team, lambda entry: signed(replace(entry, resolved="0" * 64, signatures=()), [team.key]))


def malformed(team: Team, _: Path) -> None:
    team.cache.place.write(
        closure_key(team.plan.planned["zip"]), iter([b'{"format":1,"entries":[{"name":7}]}'])
    )


def nonsense(team: Team, _: Path) -> None:
    team.cache.place.write(closure_key(team.plan.planned["zip"]), iter([b"[" * 100_000]))


def future(team: Team, _: Path) -> None:
    team.cache.place.write(closure_key(team.plan.planned["zip"]), iter([b'{"format":2,"entries":[]}']))


def huge(team: Team, _: Path) -> None:
    team.cache.place.write(closure_key(team.plan.planned["zip"]), (b" " * (1 << 20) for _ in range(17)))


def blob(team: Team, folder: Path) -> Path:
    return folder / team.entries["zip"].blob


def truncated(team: Team, folder: Path) -> None:
    path = blob(team, folder)
    path.write_bytes(path.read_bytes()[:-20])


def cut_in_the_middle(team: Team, folder: Path) -> None:
    os.truncate(blob(team, folder), blob(team, folder).stat().st_size // 2)


def emptied(team: Team, folder: Path) -> None:
    blob(team, folder).write_bytes(b"")


def flipped(team: Team, folder: Path) -> None:
    data = bytearray(blob(team, folder).read_bytes())
    data[len(data) // 3] ^= 1
    blob(team, folder).write_bytes(bytes(data))


def another_tree(team: Team, folder: Path) -> None:
    shutil.copyfile(folder / team.entries["library"].blob, blob(team, folder))


def no_tree(team: Team, folder: Path) -> None:
    blob(team, folder).write_bytes(b"".join(compress(iter([b"no NAR at all"]))))


def bomb(team: Team, folder: Path) -> None:
    """What is small, and would expand to 4 MiB where a tree of a few hundred bytes is meant."""
    blob(team, folder).write_bytes(b"".join(compress(iter([bytes(4 << 20)]))))
    assert blob(team, folder).stat().st_size < 300


def oversize(team: Team, folder: Path) -> None:
    with blob(team, folder).open("ab") as file:
        file.write(os.urandom(1 << 20))


def lost(team: Team, folder: Path) -> None:
    blob(team, folder).unlink()


def going_on(team: Team, folder: Path) -> None:
    """The right NAR, with something behind it."""
    tree = team.store.held_tree(team.made["zip"].output)
    blob(team, folder).write_bytes(b"".join(compress(iter([*nar_chunks(tree), b"more"]))))


WRONG: dict[Spoil, str] = {
    unknown_key: "is not one of those that recipes/caches.toml trusts",
    no_signature: "nobody signed it",
    bad_signature: "is not that of the entry",
    another_output: "is not that of the entry",
    replayed: "",
    replayed_as_this: "is not that of the entry",
    signed_but_other_inputs: "its resolved hash is not that of the build",
    malformed: "is malformed",
    nonsense: "the closure is not JSON",
    future: "is not of format 1",
    huge: "more than 16777216 bytes",
    truncated: "table of frames",
    cut_in_the_middle: "table of frames",
    emptied: "it is too short",
    flipped: "the cache team is not used",
    another_tree: "the cache team is not used",
    no_tree: "the cache team is not used",
    bomb: "it expands to 4194304 bytes",
    oversize: "more than the",
    lost: "has lost the output",
    going_on: "it expands to",
}


@pytest.mark.parametrize("spoil", WRONG, ids=lambda spoil: spoil.__name__)
def test_what_is_wrong_is_a_miss_with_a_warning(
    spoil: Spoil, team: Team, tmp_path: Path, fresh: LocalStore
) -> None:
    """The target is left to building; whatever came into the store is what it says, and nothing is the target's."""
    spoil(team, tmp_path / "cache")
    made = team.pull(fresh)
    assert "zip" not in made
    assert WRONG[spoil] in team.warnings
    # The entry of another derivation is no finding: that the target has none is all that is known.
    assert team.warnings or spoil is replayed
    assert all(team.made[name] == one for name, one in made.items())
    assert fresh.planned(team.plan.planned["zip"]) is None
    assert fresh.tree(team.made["zip"].output) is None
    if (fresh.root / "files").is_dir():
        assert fresh.verify(lambda _: None) == ()


def test_a_lock_outranks_every_signature(team: Team, fresh: LocalStore) -> None:
    """An output that the lock records otherwise is not used, nor one that was made from another input."""
    recorded = {"zip": team.made["library"].output}
    assert "zip" not in team.pull(fresh, recorded=recorded)
    assert "and the lock records" in team.warnings
    team.events.clear()
    recorded = {"zip": team.made["zip"].output, "program": team.made["library"].output}
    assert "zip" not in team.pull(fresh, recorded=recorded)
    assert "it was made from program as" in team.warnings


def test_an_output_here_outranks_a_signature(team: Team, fresh: LocalStore) -> None:
    """What was made from another output than the one in the store is not used beside it."""
    mine = fill(LocalStore(fresh.root), team.plan, salt="of my own")
    made = team.pull(fresh, done={"program": mine["program"]})
    assert made == {}
    assert "which here is" in team.warnings


def test_only_what_a_lock_confirms(team: Team, fresh: LocalStore) -> None:
    recorded = {"library": team.made["library"].output}
    made = team.pull(fresh, *team.plan.planned, recorded=recorded, confirmed=True)
    assert list(made) == ["library"]


def test_the_next_cache_is_asked_where_one_fails(team: Team, tmp_path: Path, fresh: LocalStore) -> None:
    from layerlock.cache.substitute import Wanted, substitute  # noqa: PLC0415

    good = tmp_path / "good"
    shutil.copytree(tmp_path / "cache", good)
    flipped(team, tmp_path / "cache")
    wanted = Wanted(plan=team.plan, done={}, recorded={}, hold=lambda _: None)
    caches = [team.cache, replace(team.cache, name="good", place=Folder(good))]
    made = substitute(["zip"], wanted, caches, fresh, team.events.append)
    assert made == {"zip": team.made["zip"]}
    assert "the cache team is not used" in team.warnings


def test_two_pushers_with_keys_of_their_own(team: Team, tmp_path: Path, fresh: LocalStore) -> None:
    """What both made has both signatures; what they made differently stands beside the other."""
    other = Ed25519PrivateKey.generate()
    theirs = entries_of(team.plan, team.made, [other])
    push(team.plan, theirs, blobs_of(team.store, theirs), team.cache, team.events.append)
    trusting = replace(team.cache, trust=Trust(keys=frozenset({spelled(other.public_key())})))
    assert team.pull(fresh, cache=trusting) == {"zip": team.made["zip"]}

    elsewhere = LocalStore(tmp_path / "elsewhere")
    different = fill(elsewhere, team.plan, salt="not reproducible")
    theirs = entries_of(team.plan, different, [other])
    push(team.plan, theirs, blobs_of(elsewhere, theirs), team.cache, team.events.append)
    # The first pusher's key still stands for the first output, also where the other one's is not trusted.
    third = LocalStore(tmp_path / "third")
    assert team.pull(third) == {"zip": team.made["zip"]}
    recorded = {"zip": different["zip"].output}
    both = replace(
        team.cache,
        trust=Trust(keys=frozenset({spelled(other.public_key()), spelled(team.key.public_key())})),
    )
    fourth = LocalStore(tmp_path / "fourth")
    assert team.pull(fourth, cache=both, recorded=recorded) == {"zip": different["zip"]}
