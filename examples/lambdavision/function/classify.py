"""SqueezeNet 1.1 over the thousand classes of ImageNet, with torch and torchvision from the layer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from PIL import Image
from problems import ModelMissing

HERE = Path(__file__).parent
# What torchvision's models of ImageNet were trained with: mean and standard deviation of each colour.
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class Classifier:
    """A model that is loaded; calling it with an image gives score, class and the class's name."""

    def __init__(self, name: str) -> None:
        """Load the model of this name from the function's folder.

        Raises:
            ModelMissing: there is none, or it is none of this network.
        """
        path = HERE / name
        if not path.is_file():
            raise ModelMissing(f"the function has no file `{name}`")
        # Loading them takes seconds, which a function without its model need not wait for.
        import torch
        import torchvision
        from torchvision.models._meta import _IMAGENET_CATEGORIES

        self.torch = torch
        self.names = _IMAGENET_CATEGORIES
        self.network = torchvision.models.squeezenet1_1(weights=None).eval()
        try:
            self.network.load_state_dict(weights(torch, path))
        except Exception as error:
            raise ModelMissing(f"`{name}` does not hold the weights of SqueezeNet 1.1: {error}") from None

    def __call__(self, image: Image.Image) -> tuple[int, int, str]:
        """Give the highest score, rounded, with its class and the class's name."""
        with self.torch.inference_mode():
            scores = self.network(self.pixels(image).unsqueeze(0))[0]
        classid = int(scores.argmax())
        return round(float(scores[classid])), classid, self.names[classid]

    def pixels(self, image: Image.Image) -> Any:
        """Scale the shorter side to 256, take the middle 224 x 224, and centre each colour."""
        import numpy

        width, height = image.size
        scale = 256 / min(width, height)
        size = max(256, round(width * scale)), max(256, round(height * scale))
        # Longer images than this are mere stripes; their middle is all that is looked at anyway.
        image = image.resize((min(size[0], 4096), min(size[1], 4096)), Image.Resampling.BILINEAR)
        left, top = (image.width - 224) // 2, (image.height - 224) // 2
        image = image.crop((left, top, left + 224, top + 224))
        values = numpy.asarray(image, dtype=numpy.float32) / 255
        values = (values - numpy.float32(MEAN)) / numpy.float32(DEVIATION)
        return self.torch.from_numpy(values.transpose(2, 0, 1).copy())


def weights(torch: Any, path: Path) -> dict[str, Any]:
    """Read weights by name: a `.safetensors` file, or what `torch.save` wrote, of which no code is run.

    The first format is the length of a header as eight bytes, the header as JSON (for each tensor its type, shape
    and place), and the bytes of all tensors: https://github.com/huggingface/safetensors.
    """
    if path.suffix != ".safetensors":
        return torch.load(path, map_location="cpu", weights_only=True)
    data = bytearray(path.read_bytes())
    start = 8 + int.from_bytes(data[:8], "little")
    found = {}
    for name, about in json.loads(data[8:start]).items():
        if name == "__metadata__":
            continue
        if about["dtype"] != "F32":
            raise ValueError(f"{name} is of type {about['dtype']}; only F32 is read")
        begin, end = about["data_offsets"]
        whole = torch.frombuffer(data, dtype=torch.float32, offset=start + begin, count=(end - begin) // 4)
        found[name] = whole.reshape(about["shape"])
    return found
