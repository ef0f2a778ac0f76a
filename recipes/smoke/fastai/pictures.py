"""The three calls of a function that classifies pictures, where Lambda's conditions hold."""

import os
import socket
import sys
from io import BytesIO
from pathlib import Path

# What is tried below has to do without these.
assert os.getuid() == 65534, os.getuid()
assert "HOME" not in os.environ
assert not os.access("/dev/shm", os.W_OK)
assert not os.access("/opt", os.W_OK)
try:
    socket.create_connection(("192.0.2.1", 80), timeout=5)
except OSError:
    pass
else:
    raise AssertionError("there is a network")

from fastai.vision import load_learner, open_image

model, *pictures = map(Path, sys.argv[1:])
learn = load_learner(model.parent)
for picture in pictures:
    label, index, scores = learn.predict(open_image(BytesIO(picture.read_bytes())))
    assert str(label) == picture.stem, (picture.name, label, scores)
    assert learn.data.classes[int(index)] == picture.stem
    assert abs(float(scores.sum()) - 1) < 1e-5
    print(picture.name, label, scores.tolist())
    # A path is as good as bytes.
    assert str(learn.predict(open_image(picture))[0]) == picture.stem

origin = {name: sys.modules[name].__file__ for name in ("torch", "torchvision", "fastai", "numpy", "PIL")}
assert all(file.startswith("/opt/python/") for file in origin.values()), origin
assert "scipy" not in sys.modules
