"""What a function may want beside inference, as on arm64; of the other layer's packages the versions are others, or not on record."""

import importlib.metadata
import runpy
import sys

import numpy
import torch
import torchvision

assert (numpy.__version__, torch.__version__) == ("1.24.2", "1.7.0a0"), (numpy.__version__, torch.__version__)
assert torchvision.__version__ == "0.8.0a0", torchvision.__version__

recorded = importlib.metadata.version
on_arm64 = {"numpy": "1.24.4", "torch": "1.13.1", "torchvision": "0.14.1"}
importlib.metadata.version = lambda name: on_arm64[name] if name in on_arm64 else recorded(name)
runpy.run_path(sys.argv[1])
