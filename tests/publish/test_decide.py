"""What is worked out without AWS."""

from __future__ import annotations

import json

import pytest

from layerlock.publish.cloud import Upload
from layerlock.publish.decide import Limits, describe, fits_request, request_size
from layerlock.publish.refusals import REFUSALS, known, refusal
from layerlock.workflows.publishing import licence

UPLOAD = Upload(
    layer="cv", description='"é"', licence="MIT", runtimes=("python3.11",), architectures=("x86_64",)
)
LAMBDA = Limits(request=69_905_067, direct=52_428_800, unzipped=262_144_000)


@pytest.mark.parametrize("size", [0, 1, 2, 3, 1000])
def test_the_size_of_a_request_is_that_of_the_document(size: int) -> None:
    document = {"Content": {"ZipFile": "A" * (4 * -(-size // 3))}, **UPLOAD.fields()}
    assert request_size(size, UPLOAD) == len(json.dumps(document).encode())


def test_what_fits_a_request_to_the_byte() -> None:
    largest = max(size for size in range(52_428_000, 52_428_800) if fits_request(size, UPLOAD, LAMBDA))
    assert request_size(largest, UPLOAD) < 69_905_067 <= request_size(largest + 3, UPLOAD)
    assert not fits_request(52_428_800, UPLOAD, LAMBDA)


@pytest.mark.parametrize("length", [0, 1, 100, 102, 103, 500])
def test_a_description_holds_both_hashes_whole(length: int) -> None:
    text = describe("x" * length, "a" * 64, "b" * 64)
    assert len(text) <= 256
    assert text.endswith(f"zip sha256:{'a' * 64} lock sha256:{'b' * 64}")
    assert text.startswith("x" * min(length, 98))


def test_licences_are_joined_or_referred_to() -> None:
    assert licence({"MIT OR X11"}) == "MIT OR X11"
    assert licence({"MIT OR X11", "BSD-3-Clause"}) == "(MIT OR X11) AND BSD-3-Clause"
    assert len(licence({f"LicenseRef-{number:040}" for number in range(20)})) <= 512


@pytest.mark.parametrize("row", REFUSALS)
def test_every_row_has_a_remedy_and_is_found_by_its_own_name(row: str) -> None:
    error = refusal("do it", row, "words", 400)
    assert error.exit_code == 14
    assert error.hint == REFUSALS[row].hint != ""
    assert REFUSALS[row].meaning in error.message


@pytest.mark.parametrize(
    ("code", "status", "row"),
    [("301", 301, "PermanentRedirect"), ("403", 403, "AccessDenied"), ("Odd", 502, "Unavailable"),
     ("Odd", 413, "RequestEntityTooLargeException"), ("Odd", 429, "Throttled"), ("Odd", 400, "Odd")],
)  # fmt: skip
def test_answers_without_a_known_code_are_known_by_their_status(code: str, status: int, row: str) -> None:
    assert known(code, "", status) == row
