"""The scheduler as a submitter sees it: a client of it, and the workers that it knows."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from layerlock.cluster.dask import ANSWER, NAME, unreachable
from layerlock.cluster.orders import Facts
from layerlock.cluster.survey import Member

if TYPE_CHECKING:
    from distributed import Client, Security


def connect(address: str, secure: Security) -> Client:
    """Give a client of a scheduler that was seen to answer.

    Raises:
        NoScheduler: it does not answer any more.
    """
    from distributed import Client  # noqa: PLC0415 - dask is optional

    try:
        return Client(address, security=secure, timeout=ANSWER, name=NAME, set_as_default=False)
    except (OSError, TimeoutError) as error:
        raise unreachable(address, error) from error


def members_of(client: Client) -> list[Member]:
    """Give the workers that a scheduler knows."""
    workers: Mapping[str, Mapping[str, Any]] = client.scheduler_info(n_workers=-1)["workers"]
    found = []
    for address, about in workers.items():
        told = about.get(NAME)
        facts = None
        if isinstance(told, dict):
            with suppress(TypeError):
                facts = Facts(**told)
        found.append(
            Member(
                address=address,
                called=str(about.get("name", address)),
                resources=about.get("resources") or {},
                facts=facts,
            )
        )
    return found
