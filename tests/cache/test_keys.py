"""Keys: files that others may read are refused, and trust ends when the repository says so."""

from __future__ import annotations

import datetime
import stat
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from layerlock.cache.keys import (
    Trust,
    make_key,
    read_key_file,
    read_private_key,
    signed,
    spelled,
    trust,
)
from layerlock.cache.push import write_closure
from layerlock.errors import InvalidRecipe, UsageError
from layerlock.model.caches import Caches, RevokedKey, TrustedKey
from layerlock.store.local import LocalStore
from layerlock.workflows.caches import read_caches

from .plans import Team

TODAY = datetime.date(2026, 11, 21)


def test_a_key_is_made_and_read(tmp_path: Path) -> None:
    path = tmp_path / "key.pem"
    public = make_key(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert spelled(read_key_file(path).public_key()) == public
    with pytest.raises(UsageError, match="is there already"):
        make_key(path)


def test_the_folder_of_a_key_is_made_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "config" / "layerlock" / "key.pem"
    make_key(path)
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert path.is_file()
    with pytest.raises(UsageError, match=r"below.pem cannot be written: (File exists|Not a directory)"):
        make_key(path / "below.pem")


def test_a_key_of_openssl_is_read(tmp_path: Path) -> None:
    path = tmp_path / "key.pem"
    subprocess.run(["openssl", "genpkey", "-algorithm", "ed25519", "-out", path], check=True)
    path.chmod(0o600)
    assert spelled(read_key_file(path).public_key()).startswith("ed25519:")


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o666, 0o601])
def test_a_key_that_others_may_touch_is_refused(mode: int, tmp_path: Path) -> None:
    path = tmp_path / "key.pem"
    make_key(path)
    secret = path.read_text().splitlines()[1]
    path.chmod(mode)
    with pytest.raises(UsageError, match="may be read or written by others") as caught:
        read_key_file(path)
    assert secret not in f"{caught.value} {caught.value.hint}"


@pytest.mark.parametrize(
    "text", ["", "nothing of the kind", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"]
)
def test_what_is_no_key_is_never_shown(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        read_private_key(text.encode(), "LAYERLOCK_CACHE_KEY")
    assert "LAYERLOCK_CACHE_KEY" in caught.value.message
    assert not text or text not in f"{caught.value} {caught.value.hint}"


def test_keys_of_other_kinds_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "key.pem"
    subprocess.run(
        ["openssl", "genpkey", "-algorithm", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", path],
        check=True,
    )
    path.chmod(0o600)
    with pytest.raises(UsageError, match="of another kind"):
        read_key_file(path)


@pytest.mark.parametrize(
    ("not_after", "good"),
    [(None, True), (TODAY, True), (TODAY - datetime.timedelta(days=1), False)],
)
def test_a_key_counts_through_its_last_day(
    not_after: datetime.date | None, good: bool, team: Team, fresh: LocalStore
) -> None:
    public = spelled(team.key.public_key())
    caches = Caches(keys=(TrustedKey(name="old", key=public, not_after=not_after),))
    made = team.pull(fresh, cache=replace(team.cache, trust=trust(caches, TODAY)))
    assert bool(made) == good
    assert good or "(old) was good until 2026-11-20" in team.warnings


def test_a_revoked_key_counts_no_more(team: Team, fresh: LocalStore) -> None:
    public = spelled(team.key.public_key())
    caches = Caches(
        keys=(TrustedKey(name="old", key=public),),
        revoked=(RevokedKey(key=public, reason="a laptop was lost"),),
    )
    assert team.pull(fresh, cache=replace(team.cache, trust=trust(caches, TODAY))) == {}
    assert "was revoked: a laptop was lost" in team.warnings


def test_a_new_key_takes_over(team: Team, fresh: LocalStore) -> None:
    """While both are trusted the new one signs; then the old one goes, and everything can be used as before."""
    new = Ed25519PrivateKey.generate()
    after = replace(team.cache, trust=Trust(keys=frozenset({spelled(new.public_key())})))
    assert team.pull(fresh, cache=after) == {}
    entries = {name: signed(entry, [new]) for name, entry in team.entries.items()}
    assert len(entries["zip"].signatures) == 2
    for name in entries:
        assert write_closure(team.plan, name, entries, team.cache, team.events.append, there=True)
        assert not write_closure(team.plan, name, entries, team.cache, team.events.append, there=True)
    assert team.pull(fresh, cache=after) == {"zip": team.made["zip"]}


def test_signing_twice_gives_the_same_bytes(team: Team) -> None:
    entry = team.entries["zip"]
    assert signed(replace(entry, signatures=()), [team.key]) == entry
    assert signed(entry, [team.key]) == entry


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('[[caches]]\nname = "a"\nurl = "x"\n[[caches]]\nname = "a"\nurl = "y"\n', "listed twice"),
        ('[[caches]]\nname = "a"\nurl = "https://user:secret@host/x"\n', "without user and query"),
        ('[[caches]]\nname = "a"\nurl = "ftp://host/x"\n', "a folder"),
        ('[[keys]]\nname = "a"\nkey = "ed25519:short"\n', "keygen"),
        ('[[keys]]\nname = "a"\nkye = "x"\n', "did you mean `key`"),
    ],
)
def test_mistakes_in_the_list_are_told(text: str, problem: str, tmp_path: Path) -> None:
    (tmp_path / "recipes").mkdir()
    (tmp_path / "recipes" / "caches.toml").write_text(text)
    with pytest.raises(InvalidRecipe, match=r"caches\.toml") as caught:
        read_caches(tmp_path)
    assert problem in str(caught.value)
