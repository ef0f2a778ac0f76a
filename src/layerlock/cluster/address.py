"""Addresses of schedulers: mutual TLS everywhere, plain tcp on loopback alone.

Whoever may speak to a scheduler may run code on every worker. So there is no option that allows it unencrypted.
"""

from __future__ import annotations

import ipaddress
import re

from layerlock.errors import InsecureCluster, UsageError

PORT = 8786
"""Dask's own port for schedulers."""


def check_address(text: str, *, certified: bool) -> str:
    """Give an address as Dask spells it; `certified` says whether certificates were named.

    Raises:
        UsageError: it is no address.
        InsecureCluster: it is plain tcp off loopback, or TLS without certificates.
    """
    found = re.fullmatch(r"(tls|tcp)://(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+)(?::(\d{1,5}))?", text)
    if found is None:
        raise UsageError(
            f"{text!r} is no address of a scheduler", hint=f"tls://HOST:PORT, such as tls://10.0.0.1:{PORT}"
        )
    scheme, host, port = found[1], found[2], found[3] or str(PORT)
    if scheme == "tcp" and not _loopback(host.strip("[]")):
        raise InsecureCluster(
            f"{text} is plain tcp to another machine: whoever reaches it may run code on every worker",
            hint="use tls:// with certificates (docs/cluster.md says how to make them)",
        )
    if scheme == "tls" and not certified:
        raise InsecureCluster(
            f"{text} needs certificates",
            hint="name them: --tls-ca, --tls-cert and --tls-key (docs/cluster.md says how to make them)",
        )
    return f"{scheme}://{host}:{port}"


def _loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
