"""`layerlock cache` and what builds make of it, as processes; the outputs that are shared were made by hand."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from layerlock.cli.construct import construct
from layerlock.cli.settings import Settings
from layerlock.events import silent
from layerlock.model.derivation import Realisation
from layerlock.workflows.planning import load
from tests.cache.plans import fill

from .conftest import Run

CACHE = '[[caches]]\nname = "team"\nurl = "shared/cache"\n'


def keygen(layerlock: Run, path: Path) -> str:
    """Make a key; give the public one."""
    done = layerlock("cache", "keygen", str(path), "--json")
    assert done.returncode == 0, done.stderr
    public: str = json.loads(done.stdout.splitlines()[-1])["key"]
    return public


@pytest.fixture
def built(repository: Path, tmp_path: Path) -> dict[str, Realisation]:
    """Fill a store with what a package and all that it needs would come to."""
    store = tmp_path / "builder"
    driver = construct(Settings(repository=repository, store=store, environment=dict(os.environ)), silent)
    return fill(driver.store, load(driver, "program").plan)


@pytest.fixture
def shared(layerlock: Run, repository: Path, tmp_path: Path, built: dict[str, Realisation]) -> str:
    """Set a cache up that holds everything; give the public key."""
    public = keygen(layerlock, tmp_path / "key.pem")
    trusted = f'\n[[keys]]\nname = "first"\nkey = "{public}"\n'
    (repository / "recipes" / "caches.toml").write_text(CACHE + trusted)
    push(layerlock, tmp_path)
    return public


def push(layerlock: Run, tmp_path: Path) -> None:
    key, store = tmp_path / "key.pem", tmp_path / "builder"
    done = layerlock("cache", "push", "program", "--key", str(key), "--store", str(store))
    assert done.returncode == 0, done.stderr


def test_what_was_pushed_is_used_instead_of_building(
    layerlock: Run, shared: str, tmp_path: Path, built: dict[str, Realisation]
) -> None:
    store = str(tmp_path / "other")
    done = layerlock("build", "program", "--cache-only", "--store", store)
    assert done.returncode == 0, done.stderr
    assert built["program"].output in done.stdout
    assert [path.name[65:] for path in (tmp_path / "other" / "trees").iterdir()] == ["program"]
    pulled = layerlock("cache", "pull", "program", "--store", store)
    assert f"{len(built) - 1} outputs and 0 sources came" in pulled.stdout
    info = layerlock("cache", "info", "program", "--store", store)
    assert f"{len(built)} outputs of program" in info.stdout
    assert f"first  {shared}  trusted" in info.stdout


def test_what_no_cache_has_is_an_error_only_with_cache_only(
    layerlock: Run, shared: str, tmp_path: Path
) -> None:
    """Without the key nothing is used; a build then goes on to what building takes."""
    path = tmp_path / "repository" / "recipes" / "caches.toml"
    path.write_text(CACHE)
    store = str(tmp_path / "other")
    done = layerlock("build", "program", "--cache-only", "--store", store)
    assert done.returncode == 40
    assert "is not one of those that recipes/caches.toml trusts" in done.stderr
    assert "no cache has program (asked: team)" in done.stderr
    done = layerlock("build", "program", "--offline", "--store", store)
    assert done.returncode not in (0, 39, 40)
    path.unlink()
    assert layerlock("build", "program", "--cache-only", "--store", store).returncode == 40


def test_no_cache_asks_none(layerlock: Run, shared: str, tmp_path: Path) -> None:
    done = layerlock("build", "program", "--no-cache", "--offline", "--store", str(tmp_path / "other"))
    assert done.returncode not in (0, 40)
    both = layerlock("build", "program", "--no-cache", "--cache-only")
    assert both.returncode == 2
    assert "do not go together" in both.stderr


def test_a_spoiled_cache_is_found_out(layerlock: Run, shared: str, repository: Path, tmp_path: Path) -> None:
    store = ("--store", str(tmp_path / "other"))
    good = layerlock("cache", "verify", "program", *store)
    assert good.returncode == 0, good.stderr
    assert layerlock("cache", "verify", *store).returncode == 0
    trees = repository / "shared" / "cache" / "trees"
    lost, spoiled, *_ = sorted(trees.iterdir())
    lost.unlink()
    spoiled.write_bytes(b"something else altogether")
    (trees / "stray").write_text("x")
    for arguments in (("program",), ()):
        bad = layerlock("cache", "verify", *arguments, *store)
        assert bad.returncode == 39
        assert f"trees/{lost.name}: it is missing" in bad.stdout
        assert f"trees/{spoiled.name}: " in bad.stdout
    assert "trees/stray: it is none of a cache's objects" in bad.stdout


def test_a_new_key_takes_over_from_an_old_one(
    layerlock: Run, shared: str, repository: Path, tmp_path: Path
) -> None:
    path = repository / "recipes" / "caches.toml"
    second = keygen(layerlock, tmp_path / "second.pem")
    both = f"{path.read_text()}\n[[keys]]\nname = 'second'\nkey = '{second}'\n"
    path.write_text(both)
    pem = (tmp_path / "second.pem").read_text()
    signed = layerlock("cache", "sign", "program", LAYERLOCK_CACHE_KEY=pem)
    assert signed.returncode == 0, signed.stderr
    assert "0 closures" not in signed.stdout
    assert "0 closures" in layerlock("cache", "sign", "program", LAYERLOCK_CACHE_KEY=pem).stdout
    path.write_text(f"{both}\n[[revoked]]\nkey = '{shared}'\nreason = 'a test'\n")
    store = ("--store", str(tmp_path / "other"))
    assert layerlock("build", "program", "--cache-only", *store).returncode == 0
    assert layerlock("cache", "verify", *store).returncode == 0
    path.write_text(f"{CACHE}\n[[keys]]\nname = 'first'\nkey = '{shared}'\nnot_after = 2020-01-01\n")
    expired = layerlock("build", "program", "--cache-only", "--store", str(tmp_path / "third"))
    assert expired.returncode == 40
    assert "(first) was good until 2020-01-01" in expired.stderr


def test_private_keys_are_kept_private(layerlock: Run, shared: str, tmp_path: Path) -> None:
    key = tmp_path / "key.pem"
    secret = key.read_text().splitlines()[1]
    store = ("--store", str(tmp_path / "builder"))
    said = []
    for mode in (0o600, 0o644):
        key.chmod(mode)
        done = layerlock("cache", "push", "program", "--key", str(key), "--verbose", *store)
        assert done.returncode == (0 if mode == 0o600 else 2)
        said += [done.stdout, done.stderr]
    broken = key.read_text().replace(secret, secret[:-6] + "======")
    done = layerlock("cache", "push", "program", "--json", *store, LAYERLOCK_CACHE_KEY=broken)
    assert done.returncode == 2
    said += [done.stdout, done.stderr]
    assert secret[10:30] not in "".join(said)


def test_nothing_is_pushed_that_was_not_built(layerlock: Run, shared: str, tmp_path: Path) -> None:
    empty = ("--store", str(tmp_path / "empty"))
    done = layerlock("cache", "push", "program", "--key", str(tmp_path / "key.pem"), *empty)
    assert done.returncode == 31
    assert "build it first: layerlock build program" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("push",), "needs a name"),
        (("keygen",), "needs a file"),
        (("pull", "nothing"), "no layer, no function and no package"),
        (("verify", "--cache", "other"), "there is: team"),
        (("info", "--key", "x"), "takes no --key"),
        (("push", "program"), "a key is needed"),
        (("polish",), "invalid choice"),
    ],
)
def test_mistakes_are_told(arguments: tuple[str, ...], said: str, layerlock: Run, shared: str) -> None:
    done = layerlock("cache", *arguments)
    assert done.returncode == 2
    assert said in done.stderr


def test_a_build_with_nothing_to_do_loads_none_of_it(
    layerlock: Run, shared: str, tmp_path: Path, repository: Path
) -> None:
    """Nor does a folder of a cache load what S3 takes."""

    def loaded(*arguments: str) -> set[str]:
        done = layerlock(*arguments, PYTHONPROFILEIMPORTTIME="1")
        assert done.returncode == 0
        lines = [line for line in done.stderr.splitlines() if line.startswith("import time:")]
        return {line.rpartition("|")[2].strip() for line in lines}

    store = ("--store", str(tmp_path / "other"))
    first = loaded("build", "program", "--cache-only", *store)
    assert "layerlock.cache.substitute" in first
    assert not first & {"boto3", "botocore", "requests"}
    again = loaded("build", "program", *store)
    assert "layerlock.workflows.building" in again
    assert not {name for name in again if name.startswith("layerlock.cache.")}
    assert not again & {"boto3", "botocore", "zstandard", "cryptography", "requests"}
