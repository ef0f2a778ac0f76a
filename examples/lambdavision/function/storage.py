"""Objects of S3 events: where they are, what is in them, and where answers go.

Lambda's runtime brings boto3, so it is not in the function's zip; it is loaded when the first S3 event comes.
"""

from __future__ import annotations

import functools
import json
import os
from typing import Any
from urllib.parse import unquote_plus

from images import MOST_BYTES
from problems import NoImage, NotFound, StorageUnreachable, TooLarge

_GONE = ("NoSuchKey", "NoSuchBucket", "NoSuchVersion", "AccessDenied", "404", "403")


def place_of(record: Any) -> dict[str, Any]:
    """Give an object's bucket, key and, where it has one, version. Keys come encoded as in a form.

    Raises:
        NoImage: the record is none of S3's.
    """
    try:
        found = record["s3"]["object"]
        place = {"bucket": record["s3"]["bucket"]["name"], "key": unquote_plus(found["key"])}
    except (KeyError, TypeError):
        raise NoImage("a record of the event does not name an object of S3") from None
    if found.get("versionId"):
        place["version"] = found["versionId"]
    return place


def fetch(place: dict[str, Any]) -> bytes:
    """Read an object.

    Raises:
        NotFound, StorageUnreachable: it cannot be read.
        TooLarge: it is larger than any image that is taken; it is not read then.
    """
    from botocore.exceptions import BotoCoreError, ClientError

    named = {"Bucket": place["bucket"], "Key": place["key"]}
    if "version" in place:
        named["VersionId"] = place["version"]
    try:
        found = client().get_object(**named)
        with found["Body"] as body:
            if found["ContentLength"] > MOST_BYTES:
                raise TooLarge(
                    f"the object has {found['ContentLength']} bytes; at most {MOST_BYTES} are taken"
                )
            return body.read()
    except ClientError as error:
        code = error.response.get("Error", {}).get("Code", "")
        if code in _GONE:
            raise NotFound(f"s3://{place['bucket']}/{place['key']} cannot be read: {code}") from None
        raise StorageUnreachable(f"s3://{place['bucket']}/{place['key']}: {code}") from None
    except (BotoCoreError, OSError) as error:
        raise StorageUnreachable(f"s3://{place['bucket']}/{place['key']}: {type(error).__name__}") from None


def keep(place: dict[str, Any], result: dict[str, Any]) -> None:
    """Write an answer beside its object's name in the bucket of results, where there is one.

    Raises:
        StorageUnreachable: it cannot be written.
    """
    from botocore.exceptions import BotoCoreError, ClientError

    bucket = os.environ.get("RESULT_BUCKET")
    if not bucket or "key" not in place:
        return
    try:
        client().put_object(
            Bucket=bucket,
            Key=f"{place['key']}.json",
            Body=json.dumps(result).encode(),
            ContentType="application/json",
        )
    except (BotoCoreError, ClientError, OSError) as error:
        raise StorageUnreachable(f"the answer was not written to s3://{bucket}: {error}") from None


@functools.lru_cache(maxsize=1)
def client() -> Any:
    """Give the one client of S3: connections are kept between invocations."""
    try:
        import boto3
    except ImportError:
        raise StorageUnreachable("boto3 is not here; Lambda's runtime brings it") from None
    return boto3.client("s3")
