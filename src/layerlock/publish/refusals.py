"""What AWS says when it refuses, and what to do about it; pure, so that every row can be read and tried."""

from __future__ import annotations

from dataclasses import dataclass

from layerlock.errors import PublishFailed
from layerlock.publish.cloud import Throttled

_CREDENTIALS = (
    "sign in again (aws sso login, or new keys); credentials come from the usual places: AWS_ACCESS_KEY_ID and "
    "AWS_SECRET_ACCESS_KEY, AWS_PROFILE or --profile, ~/.aws, or the machine's own role"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Refusal:
    """A row of the table: what it means, what to do, and whether AWS's own words are shown.

    Of errors about signatures they are not: the text repeats what was signed, session tokens included.
    """

    meaning: str
    hint: str
    words: bool = True


REFUSALS: dict[str, Refusal] = {
    "AccessDenied": Refusal(
        meaning="access is denied",
        hint="the identity needs the action that is named; docs/how-to.md lists all that publishing uses",
    ),
    "ExpiredToken": Refusal(meaning="the credentials have expired", hint=_CREDENTIALS, words=False),
    "InvalidCredentials": Refusal(
        meaning="the credentials are not accepted",
        hint=f"{_CREDENTIALS}; or the region is not enabled",
        words=False,
    ),
    "RequestTimeTooSkewed": Refusal(
        meaning="this machine's clock is wrong",
        hint="set the clock: AWS refuses requests of another time",
        words=False,
    ),
    "CodeStorageExceededException": Refusal(
        meaning="the account's storage for code in this region is full",
        hint="delete old versions (--keep N), old functions' versions, or ask AWS for a higher quota "
        "(Lambda, `Function and layer storage`)",
    ),
    "RequestEntityTooLargeException": Refusal(
        meaning="the request is larger than Lambda takes (69,905,067 bytes, encoding included)",
        hint="publish by way of S3: --bucket BUCKET, a bucket of the same region",
    ),
    "UnzippedTooLarge": Refusal(
        meaning="the layer is larger unzipped than Lambda takes (262,144,000 bytes, the function and all layers)",
        hint="prune more in the layer's recipe; layerlock size LAYER says what weighs how much",
    ),
    "NoSuchBucket": Refusal(
        meaning="there is no such bucket",
        hint="make it in the region that is published to, or name another one",
    ),
    "PermanentRedirect": Refusal(
        meaning="the bucket is in another region",
        hint="Lambda reads a bucket of its own region; with several regions: --bucket 'NAME-{region}'",
    ),
    "BadDigest": Refusal(
        meaning="S3 received other bytes than were sent",
        hint="run it again; if it stays so, look at the network",
    ),
    "ResourceConflictException": Refusal(
        meaning="somebody else changes the same thing", hint="run it again: what is done is found and kept"
    ),
    "PolicyLengthExceededException": Refusal(
        meaning="the layer version's policy is full",
        hint="share with the organization instead of its accounts",
    ),
    "ResourceNotFoundException": Refusal(
        meaning="it does not exist", hint="somebody may have deleted it meanwhile; run it again"
    ),
    "Throttled": Refusal(
        meaning="AWS throttles the calls of this account", hint="wait some minutes and run it again"
    ),
    "Unavailable": Refusal(
        meaning="AWS had an error of its own", hint="run it again; what is done is found and kept"
    ),
}
"""By AWS's error code, several of which mean the same (see `_SAME`)."""

_SAME = {
    "AccessDeniedException": "AccessDenied",
    "AllAccessDisabled": "AccessDenied",
    "AuthorizationHeaderMalformed": "PermanentRedirect",
    "ExpiredTokenException": "ExpiredToken",
    "IllegalLocationConstraintException": "PermanentRedirect",
    "IncompleteSignature": "InvalidCredentials",
    "InternalError": "Unavailable",
    "InternalFailure": "Unavailable",
    "InvalidAccessKeyId": "InvalidCredentials",
    "InvalidClientTokenId": "InvalidCredentials",
    "InvalidSignatureException": "InvalidCredentials",
    "InvalidToken": "InvalidCredentials",
    "MissingAuthenticationTokenException": "InvalidCredentials",
    "OptInRequired": "InvalidCredentials",
    "RequestEntityTooLarge": "RequestEntityTooLargeException",
    "RequestExpired": "RequestTimeTooSkewed",
    "RequestLimitExceeded": "Throttled",
    "ServiceException": "Unavailable",
    "ServiceUnavailable": "Unavailable",
    "SignatureDoesNotMatch": "InvalidCredentials",
    "SlowDown": "Throttled",
    "Throttling": "Throttled",
    "ThrottlingException": "Throttled",
    "TooManyRequestsException": "Throttled",
    "UnrecognizedClientException": "InvalidCredentials",
    "XAmzContentChecksumMismatch": "BadDigest",
}
_LONGEST = 400


def known(code: str, words: str, status: int) -> str:
    """Give the row of the table that an error of AWS's belongs to; its own code where none does."""
    if code == "InvalidParameterValueException" and "nzipped size" in words:
        return "UnzippedTooLarge"
    if code in ("NoSuchKey", "404"):
        return "ResourceNotFoundException"
    by_status = {
        "301": "PermanentRedirect",
        "400": "InvalidCredentials",
        "403": "AccessDenied",
        "413": "RequestEntityTooLargeException",
        "429": "Throttled",
    }
    # Answers to HEAD have no body, and so no code but the status.
    found = _SAME.get(code) or by_status.get(code, code)
    if found in REFUSALS:
        return found
    if status >= 500:
        return "Unavailable"
    return by_status["413"] if status == 413 else by_status["429"] if status == 429 else found


def refusal(doing: str, code: str, words: str, status: int) -> PublishFailed:
    """Make the error of a refused call; `doing` completes "could not"."""
    row = known(code, words, status)
    found = REFUSALS.get(row)
    said = " ".join(words.splitlines()[0].split())[:_LONGEST] if words.strip() else ""
    if found is None:
        return PublishFailed(f"could not {doing}: {code}: {said}", hint="see the message of AWS")
    shown = f" ({code}: {said})" if found.words and said else f" ({code})" if code != row else ""
    kind = Throttled if row == "Throttled" else PublishFailed
    return kind(f"could not {doing}: {found.meaning}{shown}", hint=found.hint)
