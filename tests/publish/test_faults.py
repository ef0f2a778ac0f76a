"""Trouble between here and AWS: every refusal has a message with a remedy, and nothing is published twice."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import replace

import pytest

from tests.publish.aws import Answer, Fault, cut, refused, refused_by_s3, with_json
from tests.publish.conftest import SECRET, Stall

PUBLISH = r"^POST /.*/versions$"
LIST = r"^GET /.*/versions$"
GET = r"^GET /.*/versions/\d+$"
DOWNLOAD = "^GET /__zip__/"


def garbled(answer: Answer) -> Answer:
    """Change the last byte."""
    return replace(answer, body=answer.body[:-1] + b"X")


@pytest.mark.parametrize(
    ("pattern", "status", "code", "words", "said", "remedy"),
    [
        (LIST, 403, "AccessDeniedException", "User: u is not authorized to perform: lambda:ListLayerVersions",
         "lambda:ListLayerVersions", "needs the action"),
        (LIST, 403, "ExpiredTokenException", f"token {SECRET}", "have expired", "aws sso login"),
        (LIST, 403, "UnrecognizedClientException", "The security token is invalid", "not accepted", "not enabled"),
        (LIST, 403, "InvalidSignatureException",
         f"The signature\n\nThe Canonical String\nx-amz-security-token:{SECRET}", "not accepted", "AWS_PROFILE"),
        (PUBLISH, 400, "CodeStorageExceededException", "Code storage limit exceeded.", "storage for code", "--keep"),
        (PUBLISH, 413, "RequestEntityTooLargeException",
         "Request must be smaller than 69905067 bytes for the PublishLayerVersion operation", "69,905,067", "--bucket"),
        (PUBLISH, 400, "InvalidParameterValueException",
         "Unzipped size must be smaller than 262144000 bytes", "262,144,000", "layerlock size"),
        (PUBLISH, 400, "SomethingNewException", "never heard of", "SomethingNewException: never heard of", "AWS"),
    ],
)  # fmt: skip
def test_refusals(
    stall: Stall, pattern: str, status: int, code: str, words: str, said: str, remedy: str
) -> None:
    stall.aws.faults.append(stall.refusal(pattern, status, code, words))
    assert stall.publish() == 14
    assert said in stall.err
    assert remedy in stall.err.partition("hint:")[2]
    assert stall.versions() == []
    assert stall.published == ""


def test_no_credentials(stall: Stall, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    assert stall.publish() == 14
    assert "Unable to locate credentials" in stall.err
    assert "AWS_PROFILE" in stall.err
    assert stall.aws.calls == []


def test_nobody_answers(stall: Stall, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    assert stall.publish() == 14
    assert "AWS cannot be reached" in stall.err


def test_throttled_reads_are_repeated(stall: Stall) -> None:
    stall.aws.faults.append(stall.refusal(LIST, 429, "TooManyRequestsException", "Rate exceeded", times=2))
    assert stall.publish() == 0, stall.err
    assert stall.versions() == [1]


def test_a_throttled_publication_is_repeated_and_then_given_up(stall: Stall) -> None:
    stall.aws.faults.append(stall.refusal(PUBLISH, 429, "TooManyRequestsException", "Rate exceeded", times=2))
    assert stall.publish() == 0, stall.err
    assert stall.versions() == [1]
    stall.record("second")
    stall.aws.faults.append(
        stall.refusal(PUBLISH, 429, "TooManyRequestsException", "Rate exceeded", times=50)
    )
    assert stall.publish() == 14
    assert "throttles" in stall.err
    assert stall.versions() == [1]


def _fails() -> Answer:
    return refused(500, "ServiceException", "An internal error")()


@pytest.mark.parametrize(
    "fault",
    [
        Fault(pattern=PUBLISH, before=cut),
        Fault(pattern=PUBLISH, before=_fails),
        Fault(pattern=PUBLISH, after=lambda _: None),
        Fault(pattern=PUBLISH, after=lambda _: _fails()),
        Fault(pattern=PUBLISH, short=True),
    ],
    ids=["cut-before", "500-before", "cut-after", "500-after", "half-an-answer"],
)
def test_a_lost_answer_publishes_once(stall: Stall, fault: Fault) -> None:
    stall.aws.faults.append(fault)
    assert stall.publish() == 0, stall.err
    assert fault.times == 0
    assert stall.versions() == [1]
    assert stall.published.count("arn = ") == 1


def test_a_service_that_stays_broken(stall: Stall) -> None:
    stall.aws.faults.append(stall.refusal(PUBLISH, 500, "ServiceException", "An internal error", times=50))
    assert stall.publish() == 14
    assert "an error of its own" in stall.err
    assert stall.versions() == []


def test_a_version_of_other_bytes_is_taken_away_again(stall: Stall) -> None:
    wrong = base64.b64encode(hashlib.sha256(b"other").digest()).decode()
    stall.aws.faults.append(Fault(pattern=PUBLISH, after=with_json(CodeSha256=wrong)))
    assert stall.publish("--public") == 14
    assert "does not hold the zip of the lock" in stall.err
    assert "it was deleted" in stall.err
    assert stall.versions() == []
    assert stall.published == ""
    assert not [call for call in stall.aws.calls if "policy" in call], "it was shared"
    assert stall.publish() == 0


def test_a_download_of_other_bytes(stall: Stall) -> None:
    stall.aws.faults.append(Fault(pattern=DOWNLOAD, times=20, after=garbled))
    assert stall.publish() == 14
    assert "does not hold the zip of the lock" in stall.err
    assert stall.versions() == []
    assert stall.published == ""


def test_other_bytes_in_a_version_that_was_there_leave_it(stall: Stall) -> None:
    assert stall.publish() == 0
    (stall.folder / "lockfiles" / "published.toml").unlink()

    stall.aws.faults.append(Fault(pattern=DOWNLOAD, times=20, after=garbled))
    assert stall.publish() == 14
    assert "it was there before, and stays" in stall.err
    assert stall.versions() == [1]


def test_a_download_that_is_cut_is_repeated(stall: Stall) -> None:
    stall.aws.faults.append(Fault(pattern=DOWNLOAD, short=True))
    assert stall.publish() == 0, stall.err
    assert stall.published.count("arn = ") == 1


def test_a_download_that_stays_cut_leaves_the_version_unrecorded_and_unshared(stall: Stall) -> None:
    stall.aws.faults.append(Fault(pattern=DOWNLOAD, times=50, short=True))
    assert stall.publish("--public") == 14
    assert "could not be downloaded to be compared" in stall.err
    assert stall.versions() == [1]
    assert stall.published == ""
    assert not [call for call in stall.aws.calls if "policy" in call], "it was shared"
    stall.aws.faults.clear()
    assert stall.publish("--public") == 0
    assert stall.versions() == [1]
    assert stall.published.count("arn = ") == 1


@pytest.mark.parametrize(
    ("code", "status", "said", "remedy"),
    [
        ("NoSuchBucket", 404, "no such bucket", "make it"),
        ("AccessDenied", 403, "access is denied", "the action"),
        ("SlowDown", 503, "throttles", "wait"),
        ("BadDigest", 400, "other bytes", "run it again"),
        ("AuthorizationHeaderMalformed", 400, "another region", "{region}"),
    ],
)
def test_refusals_of_s3(stall: Stall, code: str, status: int, said: str, remedy: str) -> None:
    stall.limit(request=500)
    stall.bucket("layers")
    stall.aws.faults.append(
        Fault(pattern="^PUT /layers/", times=50, before=refused_by_s3(status, code, "so it is"))
    )
    assert stall.publish("--bucket", "layers") == 14
    assert said in stall.err
    assert remedy in stall.err.partition("hint:")[2]
    assert stall.versions() == []


def test_a_bucket_that_keeps_other_bytes(stall: Stall) -> None:
    stall.limit(request=500)
    stall.bucket("layers")

    def changed(answer: Answer) -> Answer:
        wrong = base64.b64encode(bytes(32)).decode()
        return replace(answer, headers={**answer.headers, "x-amz-checksum-sha256": wrong})

    stall.aws.faults.append(Fault(pattern="^HEAD /layers/", times=50, after=changed))
    assert stall.publish("--bucket", "layers") == 14
    assert "is not what was uploaded" in stall.err
    assert stall.versions() == []


def test_a_bucket_that_is_not_there(stall: Stall) -> None:
    stall.limit(request=500)
    assert stall.publish("--bucket", "nowhere") == 14
    assert "no such bucket" in stall.err
    assert stall.versions() == []
