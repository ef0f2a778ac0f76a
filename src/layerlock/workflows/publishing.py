"""Publishing a layer's zip: looked at first, planned, shown, and then done, region by region."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from layerlock.errors import NotReproducible, PublishFailed, StaleLock, UsageError
from layerlock.events import Listener, Warned
from layerlock.io.atomic import exclusive
from layerlock.io.filehash import file_sha256
from layerlock.model.lock import RecordedZip
from layerlock.model.published import Publication
from layerlock.publish.cloud import Cloud, Listed, OpenAccount, Remote, Upload
from layerlock.publish.decide import (
    Found,
    Limits,
    Steps,
    Wish,
    Zip,
    bucket_for,
    check_unzipped,
    decide,
    describe,
)
from layerlock.publish.perform import Tools, perform
from layerlock.publish.record import read_published, write_entries
from layerlock.workflows.driver import Driver
from layerlock.workflows.planning import load_layer

LICENCE = 512
"""Characters that Lambda takes as a licence."""


class Fetcher(Protocol):
    """What downloads; see `io.http.Fetcher`."""

    def download(
        self, urls: tuple[str, ...], dest: Path, *, sha256: str, size: int, emit: Listener, name: str
    ) -> object:
        """Bring the bytes to a file."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Order:
    """What is to be published where. Without regions the one that the surroundings name is meant.

    `name` is what the layer is called in AWS, `path` the zip; `functions` are asked which old versions they name.
    """

    layer: str
    name: str
    path: Path
    regions: tuple[str, ...]
    profiles: tuple[str | None, ...]
    roles: tuple[str | None, ...]
    functions: tuple[str, ...]
    wish: Wish


@dataclass(frozen=True, kw_only=True, slots=True)
class Prepared:
    """A publication that was planned: the steps of every region, and what carries them out as it is read."""

    zipped: Zip
    upload: Upload
    steps: tuple[Steps, ...]
    carry_out: Callable[[Listener], Iterator[tuple[Steps, Remote]]]


@contextmanager
def prepared(
    driver: Driver,
    order: Order,
    open_account: OpenAccount,
    fetcher: Callable[[], Fetcher],
    sleep: Callable[[float], None],
) -> Iterator[Prepared]:
    """Hold the zip against the lock, look at every region, and plan; nothing is changed until `carry_out` is read.

    Another driver of the same store waits meanwhile: both would see that a version is missing, and publish it.

    Raises:
        StaleLock: the recipes do not fit the lock, or it records no zip.
        NotReproducible: the zip is not the one that the lock records.
        PublishFailed: AWS refused, or a limit is exceeded.
        UsageError: a function is in none of the regions.
    """
    zipped, upload, limits = _subject(driver, order)
    driver.store.layout.make()
    with exclusive(driver.store.layout.lock("publish", order.name)):
        clouds = _clouds(order, open_account)
        found = [_look(cloud, zipped, upload, limits, order) for cloud in clouds]
        _check_functions(order, [each for each, _ in found])
        published = read_published(driver.repository.root)
        steps = tuple(
            decide(zipped, each, order.wish, published, bucket, order.layer) for each, bucket in found
        )
        _warn(driver, order, upload, [each for each, _ in found], steps)

        def carry_out(emit: Listener) -> Iterator[tuple[Steps, Remote]]:
            tools = _tools(driver, emit, fetcher, sleep)
            for index, (cloud, each) in enumerate(zip(clouds, steps, strict=True)):
                try:
                    remote = perform(cloud, each, zipped, order.path, upload, tools)
                except PublishFailed as error:
                    if index:
                        error.hint += (
                            f"; the {index} before it are done, recorded and left alone the next time"
                        )
                    raise
                yield each, remote

        yield Prepared(zipped=zipped, upload=upload, steps=steps, carry_out=carry_out)


def _subject(driver: Driver, order: Order) -> tuple[Zip, Upload, Limits]:
    """Give the zip that the lock records, seen to be what stands in the file, and what is said of it."""
    layer = order.layer
    lock, _, _ = load_layer(driver, layer)
    recorded = lock.zip
    if recorded is None:
        raise StaleLock(
            f"the lock of {layer} records no zip, and only what is recorded is published",
            hint=f"run: layerlock record {layer}",
        )
    _check_zip(order, recorded)
    recipe = driver.repository.layer(layer)
    runtime = driver.repository.runtime(recipe.layer.runtime)
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,140}", order.name):
        raise UsageError(
            f"Lambda takes letters, digits, `-` and `_` in a layer's name, not {order.name!r}",
            hint="name it otherwise in AWS: --name NAME",
        )
    limits = Limits(
        request=runtime.limits.request, direct=runtime.limits.direct_upload, unzipped=runtime.limits.unzipped
    )
    zipped = Zip(layer=layer, sha256=recorded.sha256, size=recorded.size, unzipped=recorded.unzipped)
    check_unzipped(zipped, limits)
    lock_sha256 = file_sha256(driver.repository.lock_path(layer))
    licences = {driver.repository.package(name).package.license for name in recipe.layer.packages}
    upload = Upload(
        layer=order.name,
        description=describe(recipe.layer.summary, zipped.sha256, lock_sha256),
        licence=licence(licences),
        runtimes=(f"python{runtime.runtime.python}",),
        architectures=(recipe.layer.architecture,),
    )
    return zipped, upload, limits


def licence(expressions: set[str]) -> str:
    """Join SPDX expressions into one of at most 512 characters."""
    single = len(expressions) == 1
    parts = sorted(f"({each})" if " OR " in each and not single else each for each in expressions)
    joined = " AND ".join(parts)
    return joined if len(joined) <= LICENCE else "several: see the layer's bill of materials"


def _check_zip(order: Order, recorded: RecordedZip) -> None:
    if not order.path.is_file():
        raise UsageError(
            f"there is no zip {order.path}",
            hint=f"run: layerlock build {order.layer}, or name one with --zip",
        )
    size = order.path.stat().st_size
    sha256 = file_sha256(order.path)
    if (sha256, size) != (recorded.sha256, recorded.size):
        raise NotReproducible(
            f"{order.path} has the sha256 {sha256}; the lock of {order.layer} records {recorded.sha256}",
            hint=f"run: layerlock build {order.layer}, which writes the zip of the lock",
        )


def _clouds(order: Order, open_account: OpenAccount) -> tuple[Cloud, ...]:
    """Give every region of every account, each once, in the order that they were named in."""
    found: dict[tuple[str, str], Cloud] = {}
    for profile in order.profiles:
        for role in order.roles:
            account = open_account(profile, role, order.regions[0] if order.regions else None)
            for region in order.regions or (account.default_region,):
                if region is not None and (account.number, region) not in found:
                    found[account.number, region] = account.region(region)
    return tuple(found.values())


def _look(
    cloud: Cloud, zipped: Zip, upload: Upload, limits: Limits, order: Order
) -> tuple[Found, str | None]:
    """Look at what is there in a region: as few questions as the order needs."""
    name, wish = order.name, order.wish
    bucket: str | None = None
    if wish.keep is None:
        newest = cloud.newest(name)
        versions: tuple[Listed, ...] = () if newest is None else (newest,)
    else:
        versions = cloud.versions(name)
    remote = cloud.version(name, versions[0].number) if versions else None
    present = remote is not None and remote.code_sha256 == zipped.code_sha256
    if not present:
        bucket = bucket_for(zipped, upload, limits, wish, cloud.region)
    named = {} if wish.keep is None else {function: cloud.layers_of(function) for function in order.functions}
    used: dict[str, tuple[str, ...]] = {}
    for function, arns in named.items():
        for arn in arns or ():
            used[arn] = (*used.get(arn, ()), function)
    found = Found(
        account=cloud.account,
        region=cloud.region,
        versions=versions,
        newest=remote,
        granted=cloud.granted(name, remote.number) if remote and present and wish.grants else frozenset(),
        stored=cloud.stored(bucket, zipped.key) if bucket is not None else None,
        used=used,
        functions=frozenset(function for function, arns in named.items() if arns is not None),
    )
    return found, bucket


def _check_functions(order: Order, found: list[Found]) -> None:
    """Refuse a function that is nowhere: a mistyped one would not protect what it names."""
    for function in order.functions:
        if not any(function in each.functions for each in found):
            raise UsageError(
                f"there is no function `{function}` where {order.name} is to be published",
                hint="--function takes a name, `NAME:ALIAS` or an ARN; nothing was changed",
            )


def _warn(driver: Driver, order: Order, upload: Upload, found: list[Found], steps: tuple[Steps, ...]) -> None:
    for there, each in zip(found, steps, strict=True):
        newest = there.newest
        if each.present is not None and newest is not None:
            said = (newest.runtimes, newest.architectures)
            if said != (upload.runtimes, upload.architectures):
                text = (
                    f"{newest.arn} has these bytes and says {', '.join((*said[0], *said[1])) or 'nothing'} of what it "
                    f"fits; the recipe says {', '.join((*upload.runtimes, *upload.architectures))}"
                )
                driver.emit(Warned(name=order.layer, message=text))
    if order.wish.keep is not None and not order.functions:
        text = (
            "no function was named with --function: none was asked whether it names a version that is deleted"
        )
        driver.emit(Warned(name=order.layer, message=text))


def _tools(
    driver: Driver, emit: Listener, fetcher: Callable[[], Fetcher], sleep: Callable[[float], None]
) -> Tools:
    root = driver.repository.root

    def download(location: str, zipped: Zip) -> None:
        with driver.store.scratch(f"publish-{zipped.layer}") as folder:
            fetcher().download(
                (location,),
                folder / "layer.zip",
                sha256=zipped.sha256,
                size=zipped.size,
                emit=emit,
                name=f"{zipped.layer} as published",
            )

    def entry(arn: str) -> Publication | None:
        return read_published(root).entry(arn)

    return Tools(
        download=download,
        note=lambda entries: write_entries(root, *entries),
        entry=entry,
        emit=emit,
        sleep=sleep,
    )
