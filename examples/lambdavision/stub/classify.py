"""Stands in for the real classifier where torch is not wanted: everything around it is the function's own."""

from __future__ import annotations

from PIL import Image


class Classifier:
    """Looks at every pixel, and always finds a cowboy hat."""

    def __init__(self, name: str) -> None:
        """Take the place of a model; nothing is loaded."""

    def __call__(self, image: Image.Image) -> tuple[int, int, str]:
        """Give the known answer."""
        image.resize((224, 224), Image.Resampling.BILINEAR).tobytes()
        return 9, 515, "cowboy hat"
