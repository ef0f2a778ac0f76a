"""Lambda's limits on functions, reckoned before AWS does; what a function and its layers come to, in bytes.

Source: "Lambda quotas" of the AWS Lambda developer guide, which `recipes/runtimes/*.toml` state as data, and the
messages that Lambda refuses with.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from layerlock.model.runtime import RuntimeLimits

VARIABLES = 4096
"""Bytes of all environment variables together ("4 KB, for all environment variables associated with the function")."""

RESERVED = frozenset(
    {
        *("_HANDLER", "_X_AMZN_TRACE_ID", "AWS_ACCESS_KEY", "AWS_ACCESS_KEY_ID", "AWS_DEFAULT_REGION"),
        *("AWS_EXECUTION_ENV", "AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "AWS_LAMBDA_FUNCTION_NAME"),
        *("AWS_LAMBDA_FUNCTION_VERSION", "AWS_LAMBDA_INITIALIZATION_TYPE", "AWS_LAMBDA_LOG_GROUP_NAME"),
        *("AWS_LAMBDA_LOG_STREAM_NAME", "AWS_LAMBDA_RUNTIME_API", "AWS_REGION", "AWS_SECRET_ACCESS_KEY"),
        *("AWS_SESSION_TOKEN", "LAMBDA_RUNTIME_DIR", "LAMBDA_TASK_ROOT"),
    }
)
"""Variables that Lambda sets itself and lets nobody set."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Weight:
    """A function and what it runs with. `size` is of its zip; `layers` are unzipped sizes in Lambda's order."""

    name: str
    size: int
    unzipped: int
    layers: Mapping[str, int]
    variables: Mapping[str, str]

    @property
    def total(self) -> int:
        """Everything unzipped."""
        return self.unzipped + sum(self.layers.values())


def request_bytes(size: int, **others: Any) -> int:
    """Give the length of the body of `UpdateFunctionCode` for a zip of `size` bytes, with `others` of its parameters.

    The body is JSON as botocore writes it (`json.dumps` with its own separators), with the zip in base64: four
    characters for each begun three bytes. So of the limit of 69,905,067 bytes ("Request must be smaller than
    69905067 bytes for the UpdateFunctionCode operation") a zip of 52,428,800 bytes takes 69,905,068 alone.
    """
    return len(json.dumps({**others, "ZipFile": ""})) + -(-size // 3) * 4


def fits_directly(size: int, limits: RuntimeLimits) -> bool:
    """Say whether a zip can be uploaded in the request itself; a larger one goes through S3."""
    return size <= limits.direct_upload and request_bytes(size) < limits.request


def variables_bytes(variables: Mapping[str, str]) -> int:
    """Give what Lambda measures of environment variables: JSON without blanks, in UTF-8."""
    return len(json.dumps(dict(variables), separators=(",", ":"), ensure_ascii=False).encode())


def refusals(weight: Weight, limits: RuntimeLimits) -> Iterator[tuple[str, str]]:
    """Give every reason for which Lambda would refuse a function, each with what to do about it."""
    if weight.total > limits.unzipped:
        parts = sorted({weight.name: weight.unzipped, **weight.layers}.items(), key=lambda part: -part[1])
        listed = "".join(f"\n  {size / 1e6:8.2f} MB  {name}" for name, size in parts)
        yield (
            f"{weight.name} and its layers have {weight.total:,} bytes unzipped, "
            f"over Lambda's limit of {limits.unzipped:,}{listed}",
            "prune the largest of them",
        )
    if len(weight.layers) > limits.layers:
        yield (
            f"{weight.name} has {len(weight.layers)} layers, and a function at most {limits.layers}",
            "make one layer of some of them",
        )
    taken = variables_bytes(weight.variables)
    if taken > VARIABLES:
        yield (
            f"the environment variables of {weight.name} take {taken:,} bytes, over Lambda's limit of {VARIABLES:,}",
            "put what is long into a file of the function, or into the parameter store",
        )
    for name in sorted(RESERVED & weight.variables.keys()):
        yield (
            f"`{name}` is a variable that Lambda sets itself",
            f"give it another name in {weight.name}'s recipe",
        )
