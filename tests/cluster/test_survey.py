"""Which workers are given work."""

from __future__ import annotations

import pytest

from layerlock.cluster.orders import Facts
from layerlock.cluster.survey import Fit, Member, spacious, survey
from layerlock.errors import NoWorker, UntrustedResult, VersionMismatch
from layerlock.events import Event


def member(name: str, versions: str = "1", key: str = "trusted", mark: str = "seen") -> Member:
    """Make a worker."""
    facts = Facts(versions=versions, key=key, cache=f"cache of {name}", mark=mark)
    return Member(address=f"tls://{name}", called=name, resources={"cores": 2, "memory": 8}, facts=facts)


def surveyed(*members: Member, unrecorded: tuple[str, ...] = ()) -> tuple[Fit, str]:
    """Survey them; give also what was told."""
    told: list[Event] = []
    fit = survey(members, "1", lambda marks: {"seen"} & set(marks), ("trusted",), unrecorded, told.append)
    return fit, " ".join(str(event) for event in told)


def test_all_are_fit() -> None:
    fit, told = surveyed(member("a"), member("b"), unrecorded=("x",))
    assert fit == Fit(workers=("tls://a", "tls://b"), trusted=("tls://a", "tls://b"), whole=True)
    assert told == ""


def test_nobody_is_there_yet() -> None:
    fit, told = surveyed()
    assert fit.whole
    assert "no worker has joined yet" in told


def test_others_are_left_out_and_named() -> None:
    stranger = Member(address="tls://c", called="c", resources={}, facts=None)
    fit, told = surveyed(member("a"), member("b", versions="2"), stranger, member("d", mark="other"))
    assert fit.workers == ("tls://a",)
    assert not fit.whole
    assert "they are of 2; no worker of layerlock" in told
    assert "d is given no work: it writes to cache of d" in told


def test_other_versions_are_refused_with_both() -> None:
    with pytest.raises(VersionMismatch, match="the workers are of 2, and this is 1"):
        surveyed(member("a", versions="2"))


def test_a_cache_that_cannot_be_read_here() -> None:
    with pytest.raises(NoWorker, match="no worker writes to a cache"):
        surveyed(member("a", mark="other"))


def test_what_no_lock_records_takes_a_trusted_key() -> None:
    fit, _ = surveyed(member("a"), member("b", key=""), unrecorded=("x",))
    assert fit.workers == ("tls://a", "tls://b")
    assert fit.trusted == ("tls://a",)
    with pytest.raises(UntrustedResult, match="no lock records x"):
        surveyed(member("b", key="stranger"), unrecorded=("x",))


def test_resources_are_stated_where_they_decide() -> None:
    assert spacious([member("a"), member("b")], [{"memory": 4, "cores": 1}])
    assert not spacious([member("a")], [{"memory": 5}])  # two slots, and memory for one such build
    assert not spacious([member("a")], [{"aarch64-linux": 1}])
