"""What verbs of clusters have in common: addresses and certificates, looked at before anybody is spoken to."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from layerlock.cluster.address import check_address
from layerlock.cluster.dask import need_dask

if TYPE_CHECKING:
    from layerlock.cluster.certificates import Certificates


def place(text: str, tls: tuple[Path, Path, Path] | None) -> tuple[str, Certificates | None]:
    """Give a scheduler's address and the certificates for it.

    Raises:
        UsageError: it is no address, or Dask is not installed.
        InsecureCluster: it is plain tcp off loopback, or the certificates cannot be used.
    """
    need_dask()
    address = check_address(text, certified=tls is not None)
    if tls is None or address.startswith("tcp://"):
        return address, None
    from layerlock.cluster.certificates import Certificates  # noqa: PLC0415 - as late as it can be

    ca, cert, key = tls
    certificates = Certificates(ca=ca, cert=cert, key=key)
    certificates.check(datetime.datetime.now(datetime.UTC))
    return address, certificates
