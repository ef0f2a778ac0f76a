"""What can be wrong with an event, an image or the function's surroundings, as clients are told it."""

from __future__ import annotations


class Problem(Exception):
    """Root of everything that is answered with a type and a message.

    `status` is the HTTP status; `again` says that trying later may help.
    """

    status = 500
    again = False


class NoImage(Problem):
    """The event holds no image where one is looked for."""

    status = 400


class NotAnImage(Problem):
    """The bytes are no image that can be read."""

    status = 415


class TooLarge(Problem):
    """The image has more bytes or pixels than the function takes."""

    status = 413


class NotFound(Problem):
    """The object is not in its bucket, or this function may not read it."""

    status = 404


class StorageUnreachable(Problem):
    """S3 did not answer, or not as it should."""

    status = 502
    again = True


class ModelMissing(Problem):
    """The function was packed without its model, or with a damaged one."""

    status = 500
