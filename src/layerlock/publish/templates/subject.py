"""What a template is written about."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Subject:
    """A layer as templates name it: by the ARN of a published version, or by the path of its zip.

    `runtime` and `architecture` are spelled as Lambda spells them. `region` is the ARN's, or the one to deploy to.
    """

    layer: str
    summary: str
    licence: str
    runtime: str
    architecture: str
    arn: str | None
    zip: str
    region: str | None

    @property
    def camel(self) -> str:
        """The layer's name in letters and digits, as resources are called: `CvSmall`."""
        return camel(self.layer)

    @property
    def snake(self) -> str:
        """The layer's name as variables are called: `cv_small`."""
        return snake(self.layer, "layer")


@dataclass(frozen=True, kw_only=True, slots=True)
class BucketSubject:
    """A bucket as templates make it: `access` is `read` or `write`; `starts` says whether objects invoke the function.

    `variable` is the environment variable that tells the function its name, empty for none.
    """

    name: str
    summary: str
    access: str
    starts: bool
    variable: str

    @property
    def camel(self) -> str:
        """The bucket's name as resources are called."""
        return f"{camel(self.name)}Bucket"

    @property
    def snake(self) -> str:
        """The bucket's name as variables are called."""
        return snake(self.name, "bucket")


@dataclass(frozen=True, kw_only=True, slots=True)
class FunctionSubject:
    """A function as templates deploy it: its zip, its layers, and what is made around it.

    `runtime`, `architecture` and `handler` are spelled as Lambda spells them, `deprecated` is the day from which on the
    runtime is past its support, `memory` is in MiB, `time` in seconds. `method` and `path` are empty for a function
    that does not answer over HTTP.
    """

    name: str
    summary: str
    runtime: str
    deprecated: str
    architecture: str
    handler: str
    zip: str
    variables: Mapping[str, str]
    memory: int
    time: int
    retries: int
    method: str
    path: str
    buckets: tuple[BucketSubject, ...]
    layers: tuple[Subject, ...]
    region: str | None

    @property
    def camel(self) -> str:
        """The function's name in letters and digits."""
        return camel(self.name)

    @property
    def snake(self) -> str:
        """The function's name as variables are called."""
        return snake(self.name, "function")

    @property
    def called(self) -> str:
        """What it is called on AWS, where names have no dots."""
        return self.name.replace(".", "-")

    def called_bucket(self, bucket: BucketSubject) -> str:
        """Give the beginning of a bucket's name on AWS, where those have no underscores either."""
        return f"{self.called.replace('_', '-')}-{bucket.name}"

    @property
    def local(self) -> tuple[Subject, ...]:
        """The layers that are deployed with the function, by their zips; the others are published."""
        return tuple(layer for layer in self.layers if layer.arn is None)

    @property
    def starting(self) -> tuple[BucketSubject, ...]:
        """The buckets whose objects invoke the function."""
        return tuple(bucket for bucket in self.buckets if bucket.starts)


def camel(name: str) -> str:
    """Write a name in letters and digits: `cv-small` as `CvSmall`."""
    return "".join(part[:1].upper() + part[1:] for part in re.split(r"[^A-Za-z0-9]+", name))


def snake(name: str, kind: str) -> str:
    """Write a name as variables are called: `cv-small` as `cv_small`; `kind` goes before one without a first letter."""
    made = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")
    return made if made[:1].isalpha() else f"{kind}_{made}"


def quoted(text: str) -> str:
    """Quote text: JSON's strings are YAML's, Python's and, but for `${` and `%{`, Terraform's too."""
    return json.dumps(text)


def commented(text: str) -> str:
    """Make one line of a comment of any text."""
    return " ".join(text.split())
