"""Doing in a region what was decided: publish, download and compare, share, record, prune."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from layerlock.errors import HashMismatch, LayerlockError, PublishFailed
from layerlock.events import Listener, Noted, Warned
from layerlock.model.published import Publication
from layerlock.publish.cloud import Cloud, Remote, Stored, Throttled, Unanswered, Upload
from layerlock.publish.decide import Steps, Zip

TRIES: Final = 5
"""How often a publication is sent that was throttled, or whose answer was lost and that did not come about."""

Download = Callable[[str, Zip], None]
"""Brings what an address gives, and raises HashMismatch where it is not the zip, FetchError where it is not whole."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Tools:
    """The collaborators of a publication; `sleep` waits some seconds."""

    download: Download
    note: Callable[[tuple[Publication, ...]], None]
    entry: Callable[[str], Publication | None]
    emit: Listener
    sleep: Callable[[float], None]


def perform(cloud: Cloud, steps: Steps, zipped: Zip, path: Path, upload: Upload, tools: Tools) -> Remote:
    """Carry out the steps of one region; give the version that holds the zip.

    The order makes it safe to be stopped anywhere: nobody else may use a version whose bytes were not looked at, and
    what is not recorded yet is found in AWS and looked at the next time.

    Raises:
        PublishFailed: AWS refused, or keeps other bytes than were sent.
    """
    remote = steps.present
    if remote is None:
        _fill_bucket(cloud, steps, zipped, path, tools)
        content = path.read_bytes() if steps.bucket is None else (steps.bucket, zipped.key)
        remote = _publish(cloud, upload, content, steps.after, zipped, tools)
        tools.emit(Noted(name=zipped.layer, message=f"published {remote.arn}"))
    if steps.verify:
        _verify(cloud, steps, zipped, remote, upload.layer, tools)
    for grant in steps.grants:
        cloud.grant(upload.layer, remote.number, grant)
    if steps.verify:
        tools.note((_publication(zipped, remote),))
    for each in steps.prune:
        cloud.delete(upload.layer, each.number)
        entry = tools.entry(each.arn)
        if entry is not None:
            tools.note((replace(entry, pruned=True),))
    return remote


def _fill_bucket(cloud: Cloud, steps: Steps, zipped: Zip, path: Path, tools: Tools) -> None:
    """Put the zip into the bucket, and see that what S3 has is the zip."""
    if steps.bucket is None or not steps.upload:
        return
    tools.emit(Noted(name=zipped.layer, message=f"uploading to s3://{steps.bucket}/{zipped.key}"))
    cloud.store(steps.bucket, zipped.key, path, zipped.code_sha256)
    stored = cloud.stored(steps.bucket, zipped.key)
    if stored != Stored(sha256=zipped.code_sha256, size=zipped.size):
        raise PublishFailed(
            f"s3://{steps.bucket}/{zipped.key} is not what was uploaded: {_told(stored)}",
            hint="run it again; nothing was published",
        )


def _told(stored: Stored | None) -> str:
    return "it is gone" if stored is None else f"{stored.size:,} bytes, sha256 {stored.sha256 or 'unknown'}"


def _publish(
    cloud: Cloud, upload: Upload, content: bytes | tuple[str, str], after: int, zipped: Zip, tools: Tools
) -> Remote:
    """Publish exactly one version, however often that has to be tried.

    Where the answer is lost, the newest version tells whether it came about: one that is newer than all that were
    there before and holds this zip.
    """
    pause = 1.0
    for left in range(TRIES - 1, -1, -1):
        try:
            return cloud.publish(upload, content)
        except Throttled as error:
            if not left:
                raise
            reason = error.message
        except Unanswered as error:
            newest = cloud.newest(upload.layer)
            if newest is not None and newest.number > after:
                remote = cloud.version(upload.layer, newest.number)
                if remote.code_sha256 == zipped.code_sha256:
                    return remote
            if not left:
                raise
            reason = error.message
        tools.emit(Warned(name=zipped.layer, message=f"{reason}; trying again"))
        tools.sleep(pause)
        pause *= 2
    raise AssertionError("a last attempt returns or raises")


def _verify(cloud: Cloud, steps: Steps, zipped: Zip, remote: Remote, layer: str, tools: Tools) -> None:
    """See that AWS keeps the zip's bytes; a version that was just made and has others is taken away again."""
    try:
        if (remote.code_sha256, remote.size) != (zipped.code_sha256, zipped.size):
            raise HashMismatch(f"AWS says sha256 {remote.code_sha256} (in base64) and {remote.size:,} bytes")
        # The address in the answer to a publication may be old by now, after waits and tries.
        tools.download(cloud.version(layer, remote.number).location, zipped)
    except HashMismatch as error:
        done = _take_away(cloud, layer, remote) if steps.present is None else "it was there before, and stays"
        raise PublishFailed(
            f"{remote.arn} does not hold the zip of the lock (sha256 {zipped.sha256}): {error.message}; {done}",
            hint="run it again; if it stays so, something between here and AWS changes what is sent",
        ) from None
    except PublishFailed:
        raise
    except LayerlockError as error:
        raise PublishFailed(
            f"{remote.arn} could not be downloaded to be compared: {error.message}",
            hint="run it again: the version is found and looked at; it is neither recorded nor shared before",
        ) from None


def _take_away(cloud: Cloud, layer: str, remote: Remote) -> str:
    try:
        cloud.delete(layer, remote.number)
    except PublishFailed as error:
        return f"it could not be deleted ({error.message}): delete it by hand"
    return "it was deleted"


def _publication(zipped: Zip, remote: Remote) -> Publication:
    return Publication(
        layer=zipped.layer, arn=remote.arn, zip=zipped.sha256, size=zipped.size, created=remote.created
    )
