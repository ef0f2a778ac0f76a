"""From an upload to an answer in the bucket of results, over real HTTP: moto's server stands in for S3 and SQS.

The events are those that moto sends: the bucket notifies a queue, out of which they are read.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import boto3
import pytest
from botocore.config import Config
from moto.server import ThreadedMotoServer

from .conftest import png

HAT = {"score": 9, "classid": 515, "human": "cowboy hat"}


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """Start S3 on loopback."""
    started = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    started.start()
    try:
        _, port = started.get_host_and_port()
        yield f"http://127.0.0.1:{port}"
    finally:
        started.stop()


class Cloud:
    """The two buckets, and a queue that hears of uploads."""

    def __init__(self) -> None:
        self.s3 = boto3.client("s3")
        self.sqs = boto3.client("sqs")
        for bucket in ("images", "results"):
            self.s3.create_bucket(Bucket=bucket)
        self.queue: str = self.sqs.create_queue(QueueName="uploads")["QueueUrl"]
        named = self.sqs.get_queue_attributes(QueueUrl=self.queue, AttributeNames=["QueueArn"])["Attributes"]
        hears = {"QueueArn": named["QueueArn"], "Events": ["s3:ObjectCreated:*"]}
        self.s3.put_bucket_notification_configuration(
            Bucket="images", NotificationConfiguration={"QueueConfigurations": [hears]}
        )
        self.events()  # the test event that setting up has sent

    def upload(self, key: str, data: bytes) -> None:
        """Upload an object."""
        self.s3.put_object(Bucket="images", Key=key, Body=data)

    def events(self) -> list[dict[str, Any]]:
        """Take every event that has come."""
        found = []
        while messages := self.sqs.receive_message(QueueUrl=self.queue, MaxNumberOfMessages=10).get(
            "Messages"
        ):
            for message in messages:
                found.append(json.loads(message["Body"]))
                self.sqs.delete_message(QueueUrl=self.queue, ReceiptHandle=message["ReceiptHandle"])
        return found

    def event(self) -> dict[str, Any]:
        """Take the records of every event, as one event: S3 may send several together."""
        return {"Records": [record for event in self.events() for record in event["Records"]]}

    def result(self, key: str) -> Any:
        """Read what was written about an object."""
        return json.loads(self.s3.get_object(Bucket="results", Key=f"{key}.json")["Body"].read())

    def results(self) -> list[str]:
        """List what was written."""
        return [found["Key"] for found in self.s3.list_objects_v2(Bucket="results").get("Contents", ())]


@pytest.fixture
def cloud(server: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Cloud]:
    """Give empty buckets, and surroundings as the function has them on Lambda."""
    for name in [name for name in os.environ if name.startswith("AWS_") or name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    for name, value in {
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": server,
        "AWS_CONFIG_FILE": str(tmp_path / "config"),
        "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "credentials"),
        "RESULT_BUCKET": "results",
    }.items():
        monkeypatch.setenv(name, value)
    made = Cloud()
    yield made
    for bucket in ("images", "results"):
        for found in made.s3.list_object_versions(Bucket=bucket).get("Versions", ()):
            made.s3.delete_object(Bucket=bucket, Key=found["Key"], VersionId=found["VersionId"])
        made.s3.delete_bucket(Bucket=bucket)
    made.sqs.delete_queue(QueueUrl=made.queue)
    made.s3.close()
    made.sqs.close()


@pytest.fixture
def app(load: Callable[..., ModuleType]) -> Iterator[ModuleType]:
    """Load the function; its client of S3 is closed afterwards."""
    loaded = load()
    yield loaded
    if loaded.storage.client.cache_info().currsize:
        loaded.storage.client().close()


def test_an_upload_is_answered_in_the_bucket_of_results(
    cloud: Cloud, app: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    cloud.upload("hat.png", png())
    answer = app.handler(cloud.event(), None)
    result = {"bucket": "images", "key": "hat.png", **HAT}
    assert answer == {"results": [result]}
    assert cloud.result("hat.png") == result
    assert capsys.readouterr().out == "score=9 imagenet classid=515 human=cowboy hat\n"


@pytest.mark.parametrize("key", ["a b+c.png", "übung/höhe & tiefe.png", "100%25.png", "a//b.png", "日本.jpg"])
def test_keys_are_decoded(cloud: Cloud, app: ModuleType, key: str) -> None:
    cloud.upload(key, png())
    event = cloud.event()
    # As S3 does it: whatever is no plain letter is written as in a form.
    assert event["Records"][0]["s3"]["object"]["key"] != key or key.isascii()
    assert [result["key"] for result in app.handler(event, None)["results"]] == [key]
    assert cloud.result(key)["classid"] == 515


def test_several_records_each_have_their_answer(cloud: Cloud, app: ModuleType) -> None:
    cloud.upload("first.png", png())
    cloud.upload("notes.txt", b"no image at all")
    cloud.upload("third.jpg", png(kind="JPEG"))
    event = cloud.event()
    assert len(event["Records"]) == 3
    first, notes, third = app.handler(event, None)["results"]
    assert (first["classid"], third["classid"]) == (515, 515)
    assert notes["error"]["type"] == "NotAnImage"
    assert cloud.result("notes.txt")["error"]["type"] == "NotAnImage"
    assert len(cloud.results()) == 3


def test_an_object_that_is_too_large_is_not_read(
    cloud: Cloud, app: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app.storage, "MOST_BYTES", 1000)
    cloud.upload("large.png", b"x" * 1001)
    (result,) = app.handler(cloud.event(), None)["results"]
    assert result["error"] == {
        "type": "TooLarge",
        "message": "the object has 1001 bytes; at most 1000 are taken",
    }


def test_an_object_that_is_gone(cloud: Cloud, app: ModuleType) -> None:
    cloud.upload("gone.png", png())
    event = cloud.event()
    cloud.s3.delete_object(Bucket="images", Key="gone.png")
    (result,) = app.handler(event, None)["results"]
    assert result["error"]["type"] == "NotFound"
    assert "s3://images/gone.png cannot be read: NoSuchKey" in result["error"]["message"]


def test_a_version_is_the_one_that_is_read(cloud: Cloud, app: ModuleType) -> None:
    cloud.s3.put_bucket_versioning(Bucket="images", VersioningConfiguration={"Status": "Enabled"})
    cloud.upload("hat.png", png())
    event = cloud.event()
    # moto does not name the version in its events, as S3 does.
    version = cloud.s3.head_object(Bucket="images", Key="hat.png")["VersionId"]
    event["Records"][0]["s3"]["object"]["versionId"] = version
    cloud.upload("hat.png", b"something else by now")
    (result,) = app.handler(event, None)["results"]
    assert (result["classid"], result["version"]) == (515, version)


def test_without_a_bucket_of_results_the_answer_is_returned(
    cloud: Cloud, app: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RESULT_BUCKET")
    cloud.upload("hat.png", png())
    assert app.handler(cloud.event(), None)["results"][0]["classid"] == 515
    assert cloud.results() == []


def test_lambda_tries_again_when_s3_cannot_be_reached(
    cloud: Cloud, app: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    cloud.upload("hat.png", png())
    event = cloud.event()
    nowhere = boto3.client(
        "s3", endpoint_url="http://127.0.0.1:9", config=Config(retries={"max_attempts": 0}, connect_timeout=1)
    )
    monkeypatch.setattr(app.storage, "client", lambda: nowhere)
    with pytest.raises(RuntimeError, match=r"1 of 1 objects have to be tried again: s3://images/hat\.png"):
        app.handler(event, None)
    nowhere.close()
    monkeypatch.undo()


def test_records_of_something_else(app: ModuleType) -> None:
    (result,) = app.handler({"Records": [{"eventSource": "aws:sqs", "body": "{}"}]}, None)["results"]
    assert result["error"]["type"] == "NoImage"
