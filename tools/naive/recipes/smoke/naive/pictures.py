"""The three calls of a function that classifies pictures."""

import sys
from io import BytesIO
from pathlib import Path

from fastai.vision import load_learner, open_image

model, *pictures = map(Path, sys.argv[1:])
learn = load_learner(model.parent)
for picture in pictures:
    label, _, _ = learn.predict(open_image(BytesIO(picture.read_bytes())))
    assert str(label) == picture.stem, (picture.name, label)
