"""Addresses of schedulers: what is spoken to without TLS, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from layerlock.cli.main import main
from layerlock.cluster.address import check_address
from layerlock.errors import InsecureCluster, UsageError


@pytest.mark.parametrize(
    ("text", "certified", "given"),
    [
        ("tls://10.0.0.1:9000", True, "tls://10.0.0.1:9000"),
        ("tls://builds.example", True, "tls://builds.example:8786"),
        ("tls://[2001:db8::1]:9000", True, "tls://[2001:db8::1]:9000"),
        ("tcp://127.0.0.1:1", False, "tcp://127.0.0.1:1"),
        ("tcp://127.8.0.1", False, "tcp://127.8.0.1:8786"),
        ("tcp://localhost", True, "tcp://localhost:8786"),
        ("tcp://[::1]", False, "tcp://[::1]:8786"),
    ],
)
def test_what_is_spoken_to(text: str, certified: bool, given: str) -> None:
    assert check_address(text, certified=certified) == given


@pytest.mark.parametrize(
    "text",
    ["tcp://10.0.0.1:8786", "tcp://0.0.0.0", "tcp://localhost.example", "tcp://[::]", "tcp://128.0.0.1"],
)
def test_plain_tcp_is_for_loopback(text: str) -> None:
    with pytest.raises(InsecureCluster, match="plain tcp"):
        check_address(text, certified=True)


def test_tls_takes_certificates() -> None:
    with pytest.raises(InsecureCluster, match="needs certificates"):
        check_address("tls://10.0.0.1", certified=False)


@pytest.mark.parametrize(
    "text", ["10.0.0.1:8786", "ucx://10.0.0.1", "tls://", "tls://a b", "tls://a:1:2", "tls://a/b"]
)
def test_what_is_no_address(text: str) -> None:
    with pytest.raises(UsageError, match="no address"):
        check_address(text, certified=True)


@pytest.mark.parametrize("word", [["--detach"], ["--verify", "2"]])
def test_what_goes_with_a_cluster_alone(
    word: list[str], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "recipes").mkdir()
    store = ["--repo", str(tmp_path), "--store", str(tmp_path / "store")]
    assert main([*store, "build", "one", *word]) == UsageError.exit_code
    assert f"{word[0]} goes with --scheduler" in capfd.readouterr().err
    # Another verb's option of that name is its own.
    main([*store, "archive", "--verify", str(tmp_path)])
    assert "is no archive" in capfd.readouterr().err
