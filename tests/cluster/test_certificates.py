"""Certificates are looked at before anybody is spoken to."""

from __future__ import annotations

import datetime
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import trustme

from layerlock.cli.main import main
from layerlock.cluster.certificates import Certificates
from layerlock.errors import InsecureCluster
from tests.required import without

ROOT = Path(__file__).parents[2]
NOW = datetime.datetime.now(datetime.UTC)


@pytest.fixture
def made(tmp_path: Path) -> Certificates:
    """Make an authority, a certificate and its key."""
    authority = trustme.CA()
    certificate = authority.issue_cert("cluster")
    found = Certificates(ca=tmp_path / "ca.pem", cert=tmp_path / "cert.pem", key=tmp_path / "key.pem")
    authority.cert_pem.write_to_path(found.ca)
    certificate.cert_chain_pems[0].write_to_path(found.cert)
    certificate.private_key_pem.write_to_path(found.key)
    return found


def test_good_ones_pass(made: Certificates) -> None:
    made.check(NOW)


def other_authority(made: Certificates) -> None:
    trustme.CA().cert_pem.write_to_path(made.ca)


def other_key(made: Certificates) -> None:
    trustme.CA().issue_cert("x").private_key_pem.write_to_path(made.key)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda made: made.ca.unlink(), "ca.pem cannot be read: No such file"),
        (lambda made: made.cert.write_text("nothing"), "cert.pem is no certificate"),
        (lambda made: made.key.write_text("nothing"), "key.pem is no private key"),
        (other_authority, "is not signed by"),
        (other_key, "is not that of the certificate"),
    ],
)
def test_what_is_wrong_is_told(made: Certificates, spoil: Callable[[Certificates], None], said: str) -> None:
    spoil(made)
    with pytest.raises(InsecureCluster, match=said):
        made.check(NOW)


def test_time_counts(made: Certificates) -> None:
    with pytest.raises(InsecureCluster, match="expired on 3000"):
        made.check(NOW + datetime.timedelta(days=500_000))
    with pytest.raises(InsecureCluster, match="is valid from"):
        made.check(NOW - datetime.timedelta(days=100_000))


def test_an_expired_one_stops_a_build(
    tmp_path: Path, made: Certificates, capfd: pytest.CaptureFixture[str]
) -> None:
    authority = trustme.CA()
    certificate = authority.issue_cert("cluster", not_after=NOW - datetime.timedelta(hours=1))
    authority.cert_pem.write_to_path(made.ca)
    certificate.cert_chain_pems[0].write_to_path(made.cert)
    certificate.private_key_pem.write_to_path(made.key)
    (tmp_path / "recipes" / "packages").mkdir(parents=True)
    (tmp_path / "recipes" / "packages" / "one.toml").write_text("")
    words = ["--repo", str(tmp_path), "--store", str(tmp_path / "store"), "build", "one"]
    words += ["--scheduler", "tls://192.0.2.1", "--tls-ca", str(made.ca)]
    words += ["--tls-cert", str(made.cert), "--tls-key", str(made.key)]
    assert main(words) == InsecureCluster.exit_code
    assert f"the certificate {made.cert} expired on" in capfd.readouterr().err


def test_the_page_s_own_way_to_make_them(tmp_path: Path) -> None:
    if shutil.which("openssl") is None:
        without("openssl", "the page's commands are openssl's")
    text = (ROOT / "docs/cluster.md").read_text()
    commands = text.partition("```sh\n")[2].partition("```")[0]
    assert commands.startswith("openssl req")
    subprocess.run(["sh", "-e", "-c", commands], cwd=tmp_path, check=True, capture_output=True)
    for name in ("scheduler", "worker", "me"):
        Certificates(
            ca=tmp_path / "ca.pem", cert=tmp_path / f"{name}.pem", key=tmp_path / f"{name}.key"
        ).check(datetime.datetime.now(datetime.UTC))
