"""What LambdaVision's handler answers: every way in, and everything that can be wrong with what comes."""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest

from .conftest import png, text

Handler = Callable[[Any], Any]
HAT = {"score": 9, "classid": 515, "human": "cowboy hat"}
LINE = "score=9 imagenet classid=515 human=cowboy hat\n"


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "WEBP", "BMP", "TIFF"])
def test_an_image_in_the_event(handler: Handler, capsys: pytest.CaptureFixture[str], kind: str) -> None:
    assert handler({"image": text(png(kind=kind))}) == HAT
    assert capsys.readouterr().out == LINE


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGBA", "LA", "CMYK", "I;16"])
def test_every_mode_becomes_rgb(handler: Handler, mode: str) -> None:
    kind = "TIFF" if mode == "CMYK" else "PNG"
    assert handler({"image": text(png(mode=mode, kind=kind))}) == HAT


REQUESTS = {
    "v1": {"httpMethod": "POST", "requestContext": {"stage": "prod"}},
    "v2": {"version": "2.0", "requestContext": {"http": {"method": "POST"}}},
}
BODIES = {
    "binary": {"body": text(png()), "isBase64Encoded": True},
    "base64 as text": {"body": text(png()), "isBase64Encoded": False},
    "json": {"body": json.dumps({"image": text(png())}), "isBase64Encoded": False},
    "json in base64": {"body": text(json.dumps({"image": text(png())}).encode()), "isBase64Encoded": True},
}


@pytest.mark.parametrize("version", REQUESTS)
@pytest.mark.parametrize("body", BODIES)
def test_requests_of_api_gateway(handler: Handler, version: str, body: str) -> None:
    answer = handler({**REQUESTS[version], **BODIES[body]})
    assert (answer["statusCode"], json.loads(answer["body"])) == (200, HAT)
    assert answer["headers"] == {"Content-Type": "application/json"}
    assert answer["isBase64Encoded"] is False


def bomb(width: int, height: int) -> bytes:
    """Make the head of a PNG that claims to be large."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")
    )


WRONG = {
    "empty": ({}, 400, "NoImage", "the event has no image"),
    "no mapping": ([1], 400, "NoImage", "the event has no image"),
    "null": (None, 400, "NoImage", "the event has no image"),
    "not base64": ({"image": "§"}, 400, "NoImage", "not in base64"),
    "empty image": ({"image": ""}, 400, "NoImage", "the event has no image"),
    "number": ({"image": 7}, 400, "NoImage", "the event has no image"),
    "no image": ({"image": text(b"hello, world")}, 415, "NotAnImage", "12 bytes are no image"),
    "broken": ({"image": text(png(64, 64)[:60])}, 415, "NotAnImage", "broken"),
    "too many bytes": ({"image": "A" * 27_000_000}, 413, "TooLarge", "20000000 bytes"),
    "too many pixels": ({"image": text(bomb(8000, 8000))}, 413, "TooLarge", "8000 x 8000"),
    "a bomb": ({"image": text(bomb(60000, 60000))}, 413, "TooLarge", "pixels"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_is_told(handler: Handler, case: str) -> None:
    event, _, kind, message = WRONG[case]
    answer = handler(event)
    assert set(answer) == {"error"}
    assert answer["error"]["type"] == kind
    assert message in answer["error"]["message"]
    assert "Traceback" not in json.dumps(answer)


@pytest.mark.parametrize("case", ["not base64", "no image", "broken", "too many pixels"])
def test_what_is_wrong_with_a_request_has_a_status(handler: Handler, case: str) -> None:
    event, status, kind, _ = WRONG[case]
    assert isinstance(event, dict)
    answer = handler({**REQUESTS["v2"], "body": json.dumps(event)})
    assert answer["statusCode"] == status
    assert json.loads(answer["body"])["error"]["type"] == kind


@pytest.mark.parametrize("body", [{}, {"body": None}, {"body": ""}, {"body": "{"}, {"body": "[]"}])
def test_a_request_without_an_image(handler: Handler, body: dict[str, Any]) -> None:
    answer = handler({**REQUESTS["v1"], **body})
    assert answer["statusCode"] == 400
    assert json.loads(answer["body"])["error"]["type"] == "NoImage"


def test_a_missing_model(load: Callable[..., ModuleType]) -> None:
    answer = load(stub=False).handler({"image": text(png())}, None)
    message = "the function has no file `model.safetensors`"
    assert answer == {"error": {"type": "ModelMissing", "message": message}}


def test_a_defect_is_logged_and_not_told(
    load: Callable[..., ModuleType], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    app = load()

    def broken(_: Any) -> Any:
        raise ZeroDivisionError("secret")

    monkeypatch.setattr(app, "classifier", lambda: broken)
    answer = app.handler({"image": text(png())}, None)
    assert answer["error"]["type"] == "InternalError"
    assert "secret" not in json.dumps(answer)
    assert "ZeroDivisionError: secret" in capsys.readouterr().err


def test_the_test_event_of_a_new_trigger(handler: Handler) -> None:
    event = {"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": "images"}
    assert handler(event) == {"ignored": "s3:TestEvent"}
