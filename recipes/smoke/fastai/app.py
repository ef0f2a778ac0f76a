"""A handler that classifies one of the pictures beside it."""

from io import BytesIO
from pathlib import Path

from fastai.vision import load_learner, open_image

HERE = Path(__file__).parent
learn = load_learner(HERE)


def handler(event, context):
    data = (HERE / event["picture"]).read_bytes()
    label, _, _ = learn.predict(open_image(BytesIO(data)))
    return {"label": str(label), "function": context.function_name}
