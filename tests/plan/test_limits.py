"""Lambda's limits, reckoned: at each of them, one below and one above; requests against what boto3 really sends."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import boto3
import pytest
from botocore.config import Config

from layerlock.model.runtime import RuntimeLimits
from layerlock.plan.limits import Weight, fits_directly, refusals, request_bytes, variables_bytes

LIMITS = RuntimeLimits(
    unzipped=262_144_000, direct_upload=52_428_800, request=69_905_067, layers=5, tmp=536_870_912
)


def weight(
    *,
    size: int = 1,
    unzipped: int = 1,
    layers: dict[str, int] | None = None,
    variables: dict[str, str] | None = None,
) -> Weight:
    """Make a function that weighs next to nothing but for what is given."""
    return Weight(name="f", size=size, unzipped=unzipped, layers=layers or {}, variables=variables or {})


def test_unzipped_bytes_of_function_and_layers_together() -> None:
    layers = {"torch": 140_000_000, "fastai": 88_000_000}
    assert list(refusals(weight(unzipped=34_144_000, layers=layers), LIMITS)) == []
    ((message, _),) = refusals(weight(unzipped=34_144_001, layers=layers), LIMITS)
    assert message.splitlines() == [
        "f and its layers have 262,144,001 bytes unzipped, over Lambda's limit of 262,144,000",
        "    140.00 MB  torch",
        "     88.00 MB  fastai",
        "     34.14 MB  f",
    ]


def test_layers() -> None:
    layers = dict.fromkeys("abcde", 1)
    assert list(refusals(weight(layers=layers), LIMITS)) == []
    ((message, _),) = refusals(weight(layers={**layers, "f": 1}), LIMITS)
    assert message == "f has 6 layers, and a function at most 5"


def test_variables() -> None:
    # {"A":"..."} has eight bytes around the value.
    assert variables_bytes({"A": "x" * 4088}) == 4096
    assert list(refusals(weight(variables={"A": "x" * 4088}), LIMITS)) == []
    ((message, _),) = refusals(weight(variables={"A": "x" * 4087 + "ü"}), LIMITS)
    assert message == "the environment variables of f take 4,097 bytes, over Lambda's limit of 4,096"
    ((message, _),) = refusals(weight(variables={"AWS_REGION": "x"}), LIMITS)
    assert message == "`AWS_REGION` is a variable that Lambda sets itself"


def test_every_reason_is_given() -> None:
    wrong = weight(unzipped=300_000_000, layers=dict.fromkeys("abcdef", 1), variables={"A": "x" * 5000})
    assert len(list(refusals(wrong, LIMITS))) == 3


def test_the_largest_direct_upload() -> None:
    """Of a request of 69,905,066 bytes, the JSON around the zip takes 15; base64 is four characters for three bytes."""
    largest = (69_905_066 - len('{"ZipFile": ""}')) // 4 * 3
    assert largest == 52_428_786
    assert request_bytes(largest) < LIMITS.request <= request_bytes(largest + 1)
    assert fits_directly(largest, LIMITS)
    assert not fits_directly(largest + 1, LIMITS)
    # What the documentation calls 50 MB does not fit by itself.
    assert request_bytes(52_428_800) == 69_905_068 + 15
    assert not fits_directly(52_428_800, LIMITS)


class Listener(BaseHTTPRequestHandler):
    """Notes how long bodies are, and answers as Lambda does."""

    lengths: list[int]

    def do_PUT(self) -> None:
        """Take an update of a function's code."""
        length = int(self.headers["Content-Length"])
        assert len(self.rfile.read(length)) == length
        self.lengths.append(length)
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def listener() -> Iterator[tuple[str, list[int]]]:
    """Listen on loopback."""
    lengths: list[int] = []
    kind = type("Noting", (Listener,), {"lengths": lengths})
    with HTTPServer(("127.0.0.1", 0), kind) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", lengths
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("size", [1, 2, 3, 1000, 100_001])
@pytest.mark.parametrize("others", [{}, {"Architectures": ["arm64"], "Publish": True}])
def test_requests_are_as_long_as_boto3_makes_them(
    listener: tuple[str, list[int]], size: int, others: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    url, lengths = listener
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    client = boto3.client(
        "lambda",
        endpoint_url=url,
        region_name="us-east-1",
        aws_access_key_id="testing",
        aws_secret_access_key="testing",
        config=Config(retries={"max_attempts": 0}),
    )
    client.update_function_code(FunctionName="f", ZipFile=b"x" * size, **others)
    client.close()
    assert lengths == [request_bytes(size, **others)]
