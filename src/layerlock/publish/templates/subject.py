"""What a template is written about."""

from __future__ import annotations

import json
import re
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
        return "".join(part[:1].upper() + part[1:] for part in re.split(r"[^A-Za-z0-9]+", self.layer))

    @property
    def snake(self) -> str:
        """The layer's name as variables are called: `cv_small`."""
        name = re.sub(r"[^a-z0-9]+", "_", self.layer.lower()).strip("_")
        return name if name[:1].isalpha() else f"layer_{name}"


def quoted(text: str) -> str:
    """Quote text: JSON's strings are YAML's, Python's and, but for `${` and `%{`, Terraform's too."""
    return json.dumps(text)


def commented(text: str) -> str:
    """Make one line of a comment of any text."""
    return " ".join(text.split())
