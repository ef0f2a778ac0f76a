"""AWS behind `Cloud`: the one module here that imports boto3.

Credentials, endpoints, proxies and certificates come from AWS's ordinary chain, which boto3 reads by itself.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
from botocore import exceptions as botocore
from botocore.config import Config
from botocore.parsers import ResponseParserError

from layerlock.errors import PublishFailed
from layerlock.publish.cloud import Grant, Listed, Remote, Stored, Unanswered, Upload
from layerlock.publish.refusals import REFUSALS, known, refusal

_CONNECT, _READ = 20, 120
"""Seconds: a request of 70 MB is answered when it was unpacked and looked at."""

_PATIENT = Config(
    connect_timeout=_CONNECT, read_timeout=_READ, retries={"mode": "standard", "total_max_attempts": 5}
)
_ONCE = Config(connect_timeout=_CONNECT, read_timeout=_READ, retries={"total_max_attempts": 1})
"""For what must not happen twice: boto3 would send a publication again whose answer was lost."""

_UNSENT = (
    botocore.EndpointConnectionError,
    botocore.ConnectTimeoutError,
    botocore.ProxyConnectionError,
    botocore.SSLError,
)
_LOST = (botocore.ConnectionClosedError, botocore.ReadTimeoutError, botocore.HTTPClientError)


class Account:
    """An account, as one identity sees it."""

    def __init__(self, session: Any, number: str, default_region: str | None) -> None:
        self._session = session
        self.number = number
        self.default_region = default_region

    def region(self, name: str) -> Region:
        """Give a region of the account."""
        return Region(self._session, self.number, name)


def open_account(profile: str | None, role: str | None, region: str | None) -> Account:
    """Find credentials, take on a role if one is named, and ask who that is.

    Raises:
        PublishFailed: there are no credentials, they are not accepted, or the role may not be taken on.
    """
    with _calling("find credentials"):
        session: Any = boto3.Session(profile_name=profile)
    default: str | None = session.region_name
    where = region or default
    if where is None:
        raise PublishFailed(
            "no region is named", hint="name one with --region, AWS_REGION, or `region` in ~/.aws/config"
        )
    if role is not None:
        with _calling(f"take on the role {role}"):
            sts = session.client("sts", region_name=where, config=_PATIENT)
            taken = sts.assume_role(RoleArn=role, RoleSessionName="layerlock")["Credentials"]
        session = boto3.Session(
            aws_access_key_id=taken["AccessKeyId"],
            aws_secret_access_key=taken["SecretAccessKey"],
            aws_session_token=taken["SessionToken"],
        )
    with _calling("find out which account this is"):
        sts = session.client("sts", region_name=where, config=_PATIENT)
        number = str(sts.get_caller_identity()["Account"])
    return Account(session, number, default)


class Region:
    """One region of one account; see `Cloud`."""

    def __init__(self, session: Any, account: str, region: str) -> None:
        self.account = account
        self.region = region
        with _calling(f"reach {region}"):
            self._lambda: Any = session.client("lambda", region_name=region, config=_PATIENT)
            self._once: Any = session.client("lambda", region_name=region, config=_ONCE)
            self._s3: Any = session.client("s3", region_name=region, config=_PATIENT)

    def newest(self, layer: str) -> Listed | None:
        """Give the newest version of a layer."""
        with _calling(f"list the versions of {layer} in {self.region}"):
            answer = self._lambda.list_layer_versions(LayerName=layer, MaxItems=1)
        return next((_listed(row) for row in answer["LayerVersions"]), None)

    def versions(self, layer: str) -> tuple[Listed, ...]:
        """List all versions of a layer, the newest first."""
        with _calling(f"list the versions of {layer} in {self.region}"):
            pages = self._lambda.get_paginator("list_layer_versions").paginate(LayerName=layer)
            found = [_listed(row) for page in pages for row in page["LayerVersions"]]
        return tuple(sorted(found, key=lambda each: each.number, reverse=True))

    def version(self, layer: str, number: int) -> Remote:
        """Give one version."""
        with _calling(f"look at version {number} of {layer} in {self.region}"):
            return _remote(self._lambda.get_layer_version(LayerName=layer, VersionNumber=number))

    def publish(self, upload: Upload, content: bytes | tuple[str, str]) -> Remote:
        """Publish a version, once."""
        made = {"ZipFile": content} if isinstance(content, bytes) else _object(*content)
        with _calling(f"publish {upload.layer} in {self.region}", once=True):
            answer = self._once.publish_layer_version(LayerName=upload.layer, Content=made, **upload.fields())
            return _remote(answer)

    def delete(self, layer: str, number: int) -> None:
        """Delete a version; one that is gone is no error."""
        with _calling(f"delete version {number} of {layer} in {self.region}"):
            _if_there(self._lambda.delete_layer_version, LayerName=layer, VersionNumber=number)

    def granted(self, layer: str, number: int) -> frozenset[str]:
        """Give the ids of the statements of a version's policy."""
        with _calling(f"read the policy of version {number} of {layer} in {self.region}"):
            answer = _if_there(self._lambda.get_layer_version_policy, LayerName=layer, VersionNumber=number)
            policy = {"Statement": ()} if answer is None else json.loads(answer["Policy"])
            return frozenset(str(statement.get("Sid", "")) for statement in policy["Statement"])

    def grant(self, layer: str, number: int, grant: Grant) -> None:
        """Let somebody else use a version; a grant that is there already, by a lost answer, is no error."""
        more = {} if grant.organization is None else {"OrganizationId": grant.organization}
        with _calling(f"let {grant} use version {number} of {layer} in {self.region}"):
            try:
                self._lambda.add_layer_version_permission(
                    LayerName=layer,
                    VersionNumber=number,
                    StatementId=grant.sid,
                    Action="lambda:GetLayerVersion",
                    Principal=grant.principal,
                    **more,
                )
            except botocore.ClientError:
                if grant.sid not in self.granted(layer, number):
                    raise

    def layers_of(self, function: str) -> tuple[str, ...] | None:
        """Give the ARNs of the layer versions that a function names; None where there is no such function."""
        with _calling(f"look at the function {function} in {self.region}"):
            answer = _if_there(self._lambda.get_function_configuration, FunctionName=function)
            return None if answer is None else tuple(str(each["Arn"]) for each in answer.get("Layers", ()))

    def stored(self, bucket: str, key: str) -> Stored | None:
        """Look at an object; None where there is none."""
        with _calling(f"look at s3://{bucket}/{key}"):
            answer = _if_there(self._s3.head_object, Bucket=bucket, Key=key, ChecksumMode="ENABLED")
            if answer is None:
                return None
            return Stored(sha256=answer.get("ChecksumSHA256"), size=int(answer["ContentLength"]))

    def store(self, bucket: str, key: str, path: Path, sha256: str) -> None:
        """Upload a file, in one request: S3 then keeps the checksum of the whole, and not one of parts."""
        with _calling(f"upload to s3://{bucket}/{key}"), path.open("rb") as file:
            self._s3.put_object(
                Bucket=bucket,
                Key=key,
                Body=file,
                ChecksumAlgorithm="SHA256",
                ChecksumSHA256=sha256,
                ContentType="application/zip",
            )


@contextmanager
def _calling(doing: str, *, once: bool = False) -> Iterator[None]:
    """Turn boto3's errors of the block into PublishFailed; `doing` completes "could not"."""
    try:
        yield
    except botocore.ClientError as error:
        said = error.response.get("Error", {})
        status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
        code, words = str(said.get("Code", status)), str(said.get("Message", ""))
        if once and known(code, words, status) == "Unavailable":
            raise Unanswered(
                f"could not {doing}: {REFUSALS['Unavailable'].meaning} ({code})",
                hint=REFUSALS["Unavailable"].hint,
            ) from None
        raise refusal(doing, code, words, status) from None
    except _UNSENT as error:
        raise PublishFailed(
            f"could not {doing}: AWS cannot be reached ({type(error).__name__})",
            hint="check the network, the proxy (HTTPS_PROXY), certificates (AWS_CA_BUNDLE) and the region's name",
        ) from None
    except _LOST as error:
        kind = Unanswered if once else PublishFailed
        raise kind(
            f"could not {doing}: the connection broke ({type(error).__name__})",
            hint="run it again; what is done is found and kept",
        ) from None
    except (ResponseParserError, KeyError, ValueError) as error:
        kind = Unanswered if once else PublishFailed
        raise kind(
            f"could not {doing}: the answer cannot be read ({type(error).__name__})",
            hint="run it again; if it stays so, something between here and AWS changes what is sent",
        ) from None
    except botocore.ProfileNotFound as error:
        raise PublishFailed(str(error), hint="aws configure list-profiles names those there are") from None
    except (botocore.NoCredentialsError, botocore.PartialCredentialsError) as error:
        raise PublishFailed(f"could not {doing}: {error}", hint=REFUSALS["ExpiredToken"].hint) from None
    except botocore.BotoCoreError as error:
        # Errors of signing in (SSO, credential processes, metadata services) tell what failed by their type; their
        # text may hold what a program printed.
        raise PublishFailed(
            f"could not {doing}: {type(error).__name__}",
            hint=f"{REFUSALS['ExpiredToken'].hint}; check --region too",
        ) from None


def _if_there(call: Callable[..., Any], **arguments: Any) -> Any:
    """Make a call; None where what it is about does not exist."""
    try:
        return call(**arguments)
    except botocore.ClientError as error:
        if error.response.get("Error", {}).get("Code", "") not in (
            "ResourceNotFoundException",
            "404",
            "NoSuchKey",
        ):
            raise
    return None


def _object(bucket: str, key: str) -> dict[str, str]:
    return {"S3Bucket": bucket, "S3Key": key}


def _listed(row: Any) -> Listed:
    return Listed(arn=str(row["LayerVersionArn"]), number=int(row["Version"]))


def _remote(answer: Any) -> Remote:
    content = answer["Content"]
    return Remote(
        arn=str(answer["LayerVersionArn"]),
        number=int(answer["Version"]),
        code_sha256=str(content["CodeSha256"]),
        size=int(content["CodeSize"]),
        created=str(answer.get("CreatedDate", "")),
        location=str(content.get("Location", "")),
        runtimes=tuple(answer.get("CompatibleRuntimes", ())),
        architectures=tuple(answer.get("CompatibleArchitectures", ())),
    )
