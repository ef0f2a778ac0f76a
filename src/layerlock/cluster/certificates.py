"""The three files of mutual TLS, looked at before anybody is spoken to: TLS itself says little of what is wrong."""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from layerlock.errors import InsecureCluster

_MAKE = "docs/cluster.md says how to make certificates"


@dataclass(frozen=True, kw_only=True, slots=True)
class Certificates:
    """The certificate of whoever signs for this cluster alone, one's own certificate, and its private key. PEM."""

    ca: Path
    cert: Path
    key: Path

    def check(self, now: datetime.datetime) -> None:
        """See that they can be read, are valid now (UTC), and belong together.

        Raises:
            InsecureCluster: they cannot, are not, or do not.
        """
        authority = _certificate(self.ca)
        own = _certificate(self.cert)
        for path, each in ((self.ca, authority), (self.cert, own)):
            if now > each.not_valid_after_utc:
                raise InsecureCluster(
                    f"the certificate {path} expired on {_day(each.not_valid_after_utc)}", hint=_MAKE
                )
            if now < each.not_valid_before_utc:
                raise InsecureCluster(
                    f"the certificate {path} is valid from {_day(each.not_valid_before_utc)} on",
                    hint="look at this machine's clock",
                )
        try:
            own.verify_directly_issued_by(authority)
        except Exception:  # ValueError, TypeError or InvalidSignature: none says more
            raise InsecureCluster(
                f"the certificate {self.cert} is not signed by {self.ca}", hint=_MAKE
            ) from None
        try:
            key = load_pem_private_key(_read(self.key), None)
        except (ValueError, TypeError):
            raise InsecureCluster(
                f"{self.key} is no private key in PEM without a password", hint=_MAKE
            ) from None
        spelled = [
            one.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
            for one in (key.public_key(), own.public_key())
        ]
        if spelled[0] != spelled[1]:
            raise InsecureCluster(
                f"the key {self.key} is not that of the certificate {self.cert}", hint=_MAKE
            )


def _certificate(path: Path) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(_read(path))
    except ValueError:
        raise InsecureCluster(f"{path} is no certificate in PEM", hint=_MAKE) from None


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InsecureCluster(f"{path} cannot be read: {error.strerror}", hint=_MAKE) from None


def _day(moment: datetime.datetime) -> str:
    return moment.strftime("%Y-%m-%d %H:%M UTC")
