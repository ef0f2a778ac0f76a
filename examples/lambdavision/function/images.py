"""From an event to the bytes of an image, and from those to pixels."""

from __future__ import annotations

import base64
import binascii
import io
import json
import warnings
from typing import Any

from PIL import Image, UnidentifiedImageError
from problems import NoImage, NotAnImage, TooLarge

MOST_BYTES = 20_000_000
MOST_PIXELS = 50_000_000
FORMATS = ("BMP", "GIF", "JPEG", "PNG", "TIFF", "WEBP")


def of_event(event: Any) -> bytes:
    """Give the image of {"image": "<base64>"}.

    Raises:
        NoImage, TooLarge: there is none, or too much of it.
    """
    text = event.get("image") if isinstance(event, dict) else None
    if not isinstance(text, str) or not text:
        raise NoImage('the event has no image; expected {"image": "<base64>"}, a request, or records of S3')
    return decoded(text)


def of_request(event: dict[str, Any]) -> bytes:
    """Give the image of a request through API Gateway; both payload versions name body and encoding alike.

    Raises:
        NoImage, TooLarge: there is none, or too much of it.
    """
    body = event.get("body")
    if not isinstance(body, str) or not body:
        raise NoImage("the request has no body; send the image, or JSON with it under `image`")
    data = decoded(body) if event.get("isBase64Encoded") else body.encode()
    if data.lstrip()[:1] != b"{":
        # API Gateway hands binary bodies on in base64; one that came as text can only be base64 by the client itself.
        return data if event.get("isBase64Encoded") else decoded(body)
    try:
        return of_event(json.loads(data))
    except ValueError as error:
        raise NoImage(f"the body is no JSON: {error}") from None


def decoded(text: str) -> bytes:
    """Decode base64.

    Raises:
        NoImage: it is none.
        TooLarge: it stands for too many bytes.
    """
    if len(text) * 3 // 4 > MOST_BYTES + 2:
        raise TooLarge(f"the image has more than {MOST_BYTES} bytes")
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise NoImage(f"the image is not in base64: {error}") from None


def opened(data: bytes) -> Image.Image:
    """Read an image whole, in RGB.

    Raises:
        NotAnImage: it is none, or a broken one.
        TooLarge: it has too many bytes or pixels.
    """
    if len(data) > MOST_BYTES:
        raise TooLarge(f"the image has {len(data)} bytes; at most {MOST_BYTES} are taken")
    try:
        with warnings.catch_warnings():
            # Pillow warns where it doubts the size; the size is judged below, before anything is unpacked.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            image = Image.open(io.BytesIO(data), formats=FORMATS)
        width, height = image.size
        if width * height > MOST_PIXELS:
            raise TooLarge(f"the image has {width} x {height} pixels; at most {MOST_PIXELS} are taken")
        # JPEG can be decoded at a fraction of its size: less memory, and the same after scaling down.
        image.draft("RGB", (512, 512))
        return image.convert("RGB")
    except Image.DecompressionBombError:
        raise TooLarge(f"the image has more than {MOST_PIXELS} pixels") from None
    except UnidentifiedImageError:
        raise NotAnImage(
            f"the {len(data)} bytes are no image of a known format ({', '.join(FORMATS)})"
        ) from None
    except (OSError, SyntaxError, ValueError, EOFError) as error:
        raise NotAnImage(f"the image is broken: {error}") from None
