"""LambdaVision: says what an image shows. The handler is `app.handler`.

An image comes in one of three ways, told apart by the event:
- an upload to S3 (`Records`), asynchronously: each object of the event is classified, and where RESULT_BUCKET is
  set, the answer is written there as KEY.json;
- a request through API Gateway, of payload version 1 or 2: the body is the image, or JSON as below;
- directly: {"image": "<base64>"}.

Each image is printed as `score=9 imagenet classid=515 human=cowboy hat`, and answered as JSON. What is wrong is
answered as {"error": {"type": ..., "message": ...}}; a traceback goes to the log and never to a client.
"""

from __future__ import annotations

import functools
import json
import os
import traceback
from typing import Any

import images
import storage
from classify import Classifier
from problems import Problem

Answer = dict[str, Any]


def handler(event: Any, context: Any) -> Answer:
    """Answer one event."""
    if isinstance(event, dict) and event.get("Event") == "s3:TestEvent":
        # S3 sends it once, when the trigger is set up.
        return {"ignored": "s3:TestEvent"}
    if isinstance(event, dict) and isinstance(event.get("Records"), list):
        return from_storage(event["Records"])
    if isinstance(event, dict) and "requestContext" in event:
        status, answer = attempt(lambda: classified(images.of_request(event)))
        return {
            "statusCode": status,
            "headers": {"Content-Type": "application/json"},
            "isBase64Encoded": False,
            "body": json.dumps(answer),
        }
    return attempt(lambda: classified(images.of_event(event)))[1]


def from_storage(records: list[Any]) -> Answer:
    """Classify every object of an S3 event.

    Raises:
        RuntimeError: some object could not be reached. Lambda then sends the event again, twice at most; what is wrong
            with an image itself is written down instead, since it would be wrong again.
    """
    results, again = [], []
    for record in records:
        place: Answer = {}
        try:
            place = storage.place_of(record)
            result = {**place, **classified(storage.fetch(place))}
        except Problem as problem:
            result = {**place, **told(problem)}
            if problem.again:
                again.append(str(problem))
                results.append(result)
                continue
        try:
            storage.keep(place, result)
        except Problem as problem:
            again.append(str(problem))
        results.append(result)
    if again:
        raise RuntimeError(
            f"{len(again)} of {len(records)} objects have to be tried again: {'; '.join(again)}"
        )
    return {"results": results}


def classified(data: bytes) -> Answer:
    """Classify an image's bytes, and print what came out."""
    score, classid, human = classifier()(images.opened(data))
    print(f"score={score} imagenet classid={classid} human={human}")
    return {"score": score, "classid": classid, "human": human}


@functools.lru_cache(maxsize=1)
def classifier() -> Classifier:
    """Load the model at the first image, and keep it for as long as the environment lives."""
    return Classifier(os.environ.get("MODEL", "model.safetensors"))


def attempt(work: Any) -> tuple[int, Answer]:
    """Give an HTTP status and an answer, whatever happens."""
    try:
        return 200, work()
    except Problem as problem:
        return problem.status, told(problem)
    except Exception:
        # A defect of this function: its log tells where, and the client that it was not the image.
        traceback.print_exc()
        return 500, {"error": {"type": "InternalError", "message": "the function failed; its log says why"}}


def told(problem: Problem) -> Answer:
    """Give a problem as clients see it."""
    print(f"{type(problem).__name__}: {problem}")
    return {"error": {"type": type(problem).__name__, "message": str(problem)}}
