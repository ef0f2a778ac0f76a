"""A cache in an S3 bucket, of AWS or of any service that speaks its protocol.

Credentials and region come from AWS's ordinary chain. Requests are tried again by botocore, with growing pauses, when
the service is busy (503 SlowDown) or the connection breaks. What is large is read and written in parts of 8 MiB, a few
at a time, so that a part is what a cut costs; a multipart upload that is not completed is seen by nobody.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import suppress
from itertools import chain
from pathlib import Path
from typing import Any, Final, TypeVar

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError, IncompleteReadError
from botocore.handlers import add_expect_header

from layerlock.cache.place import Packed, TooLarge, Unreachable

_PART: Final = 8 << 20
"""Bytes of a part; S3 wants at least 5 MiB, and takes 10,000 of them: 80 GB."""
_AT_ONCE: Final = 4
"""Parts of one object that are under way."""
_TRIES: Final = 5
_PAGES: Final = 20
"""Pages of a listing, of 1,000 keys each, before single keys are asked for instead."""
_FEW: Final = 4
_ABSENT: Final = frozenset({"404", "NoSuchKey", "NotFound"})
_BROKEN: Final = (HTTPClientError, IncompleteReadError, OSError)

T = TypeVar("T")


class S3:
    """Objects in a bucket, below a prefix."""

    remote = True

    def __init__(
        self, bucket: str, prefix: str, *, endpoint: str | None = None, region: str | None = None
    ) -> None:
        self._bucket = bucket
        self._prefix = f"{prefix.strip('/')}/" if prefix.strip("/") else ""
        self._endpoint = endpoint
        self._region = region
        self._guard = threading.Lock()
        self._made: Any = None
        self.address = f"s3://{bucket}/{self._prefix}".rstrip("/")

    def read(self, key: str, limit: int) -> bytes | None:
        """Give a small object."""

        def attempt() -> bytes:
            answer = self._client.get_object(Bucket=self._bucket, Key=self._prefix + key)
            with answer["Body"] as body:
                data: bytes = body.read(limit + 1)
            return data

        data = self._found(lambda: _again(attempt))
        if data is not None and len(data) > limit:
            raise TooLarge(f"it has more than {limit} bytes")
        return data

    def open(self, key: str, folder: Path, limit: int) -> Packed | None:
        """Give an object to be read in parts; nothing of it is written anywhere."""
        del folder
        first = self._found(lambda: self._range(key, 0, _PART, ""))
        if first is None:
            return None
        head, size, tag = first
        if size > limit:
            raise TooLarge(f"it has {size} bytes, more than the {limit} that there may be")

        def rest(start: int, end: int) -> bytes:
            found = self._found(lambda: self._range(key, start, end, tag))
            if found is None:
                raise Unreachable(f"{self.address}/{key} went away while it was read")
            return found[0]

        return _Object(size, head, rest)

    def write(self, key: str, pieces: Iterator[bytes]) -> int:
        """Upload an object, in parts where it is large."""
        parts = _parts(pieces)
        first = next(parts, b"")
        place = {"Bucket": self._bucket, "Key": self._prefix + key}
        if len(first) < _PART:
            self._told(lambda: self._client.put_object(**place, Body=first))
            return len(first)
        upload = self._told(lambda: self._client.create_multipart_upload(**place))["UploadId"]
        try:
            size, tags = self._send(place, upload, chain([first], parts))
            done = [{"PartNumber": number, "ETag": tag} for number, tag in sorted(tags.items())]
            self._told(
                lambda: self._client.complete_multipart_upload(
                    **place, UploadId=upload, MultipartUpload={"Parts": done}
                )
            )
        except BaseException:
            # Whoever is killed instead leaves parts that nobody sees; a bucket's lifecycle rule removes them.
            with suppress(BotoCoreError, ClientError):
                self._client.abort_multipart_upload(**place, UploadId=upload)
            raise
        return size

    def present(self, keys: Collection[str]) -> frozenset[str]:
        """Say which keys are there: by a listing, unless the bucket holds far more than is asked for."""
        wanted = set(keys)
        if len(wanted) > _FEW:
            folders = sorted({key.partition("/")[0] for key in wanted})
            found: set[str] = set()
            pages = 0
            for folder in folders:
                for page in self._pages(f"{folder}/"):
                    found |= wanted & page
                    pages += 1
                    if pages > _PAGES:
                        return self._each(wanted)
            return frozenset(found)
        return self._each(wanted)

    def listing(self) -> Iterator[str]:
        """List everything."""
        for page in self._pages(""):
            yield from sorted(page)

    @property
    def _client(self) -> Any:
        """The client, which may be used by several threads; making one may not."""
        with self._guard:
            if self._made is None:
                config = Config(
                    retries={"mode": "standard", "total_max_attempts": _TRIES},
                    max_pool_connections=64,
                    connect_timeout=15,
                    read_timeout=60,
                    # Other services than AWS's know no checksums at the end of a body; what is read is held
                    # against hashes of our own in any case.
                    request_checksum_calculation="when_required",
                    response_checksum_validation="when_required",
                    s3={"addressing_style": "path"} if self._endpoint else {},
                )
                try:
                    self._made = boto3.session.Session().client(
                        "s3", endpoint_url=self._endpoint, region_name=self._region, config=config
                    )
                except (BotoCoreError, ValueError) as error:
                    raise self._failed(error) from error
                # Asking before each body whether it is welcome is a round trip for each of hundreds of small objects;
                # a refusal costs a part at most.
                self._made.meta.events.unregister("before-call.s3", add_expect_header)
            return self._made

    def _range(self, key: str, start: int, end: int, tag: str) -> tuple[bytes, int, str]:
        """Get the bytes of an object from `start` to before `end`, with the object's size and ETag."""
        place = {"Bucket": self._bucket, "Key": self._prefix + key}
        same = {"IfMatch": tag} if tag else {}

        def attempt() -> tuple[bytes, int, str]:
            try:
                answer = self._client.get_object(**place, **same, Range=f"bytes={start}-{end - 1}")
            except ClientError as error:
                if _code(error) in ("InvalidRange", "416") and start == 0:
                    return b"", 0, ""  # an empty object, of which no range can be asked
                raise
            total = int(answer.get("ContentRange", "").rpartition("/")[2] or answer["ContentLength"])
            wanted = min(end, total) - start
            with answer["Body"] as body:
                if answer.get("ContentLength", 0) > wanted:
                    raise Unreachable(f"{self.address}/{key} sends more than was asked for")
                data: bytes = body.read(wanted)
            if len(data) < wanted:
                raise OSError(f"it ends after {start + len(data)} of {total} bytes")
            return data, total, answer.get("ETag", "")

        return _again(attempt)

    def _send(self, place: dict[str, str], upload: str, parts: Iterator[bytes]) -> tuple[int, dict[int, str]]:
        """Upload parts, a few at a time: the next is taken when one of them has been sent."""
        running: dict[Future[Any], int] = {}
        tags: dict[int, str] = {}
        size = 0

        def take(least: int) -> None:
            while len(running) > least:
                done, _ = wait(running, return_when=FIRST_COMPLETED)
                for future in done:
                    tags[running.pop(future)] = self._told(future.result)["ETag"]

        with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="part") as pool:
            for number, data in enumerate(parts, 1):
                take(_AT_ONCE - 1)
                size += len(data)
                sending = pool.submit(
                    self._client.upload_part, **place, UploadId=upload, PartNumber=number, Body=data
                )
                running[sending] = number
            take(0)
        return size, tags

    def _each(self, keys: Collection[str]) -> frozenset[str]:
        def there(key: str) -> bool:
            head = self._client.head_object
            return self._found(lambda: head(Bucket=self._bucket, Key=self._prefix + key)) is not None

        with ThreadPoolExecutor(2 * _AT_ONCE, thread_name_prefix="head") as pool:
            ordered = sorted(keys)
            return frozenset(key for key, here in zip(ordered, pool.map(there, ordered), strict=True) if here)

    def _pages(self, prefix: str) -> Iterator[set[str]]:
        pages = self._client.get_paginator("list_objects_v2").paginate(
            Bucket=self._bucket, Prefix=self._prefix + prefix
        )
        listing = iter(pages)
        while (page := self._told(lambda: next(listing, None))) is not None:
            yield {found["Key"].removeprefix(self._prefix) for found in page.get("Contents", ())}

    def _found(self, ask: Callable[[], T]) -> T | None:
        """Ask for an object; None where there is none."""
        try:
            return ask()
        except ClientError as error:
            if _code(error) in _ABSENT:
                return None
            raise self._failed(error) from error
        except (BotoCoreError, *_BROKEN) as error:
            raise self._failed(error) from error

    def _told(self, do: Callable[[], T]) -> T:
        try:
            return do()
        except (BotoCoreError, ClientError, *_BROKEN) as error:
            raise self._failed(error) from error

    def _failed(self, error: Exception) -> Unreachable:
        if isinstance(error, ClientError):
            about = error.response.get("Error", {})
            code, said = about.get("Code", "?"), about.get("Message", "")
            why = f"{error.operation_name} is answered by {code}" + (f" ({said})" if said else "")
            hints = {
                "AccessDenied": "these credentials may not do that there",
                "403": "these credentials may not do that there",
                "NoSuchBucket": "make the bucket, or mend its name in recipes/caches.toml",
            }
            return Unreachable(f"the cache {self.address}: {why}", hint=hints.get(code, ""))
        hint = "AWS's ordinary settings apply: AWS_PROFILE, AWS_REGION, ~/.aws, roles"
        name = type(error).__name__
        return Unreachable(
            f"the cache {self.address} does not answer: {error}", hint=hint if "Cred" in name else ""
        )


class _Object:
    """An object of which the first part came with the answer that it is there."""

    def __init__(self, size: int, head: bytes, rest: Callable[[int, int], bytes]) -> None:
        self.size = size
        self._head = memoryview(head)
        self._rest = rest

    def read(self, start: int, end: int) -> bytes | memoryview:
        """Give the bytes from `start` to before `end`; those of the first part are not asked for again."""
        known = self._head[start:end]
        if len(known) == end - start:
            return known
        if not known:
            return self._rest(start, end)
        return b"".join((known, self._rest(start + len(known), end)))


def _again(attempt: Callable[[], T]) -> T:
    """Try again where a body breaks off, which botocore itself leaves to its callers."""
    for _ in range(_TRIES - 1):
        with suppress(*_BROKEN):
            return attempt()
    return attempt()


def _code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))


def _parts(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Join pieces into parts of at least `_PART` bytes, but for the last."""
    pending: list[bytes] = []
    held = 0
    for piece in pieces:
        pending.append(piece)
        held += len(piece)
        if held >= _PART:
            yield b"".join(pending)
            pending.clear()
            held = 0
    if held:
        yield b"".join(pending)
