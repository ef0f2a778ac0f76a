"""The tools that templates are written for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from layerlock.publish.templates import cdk, sam, serverless, terraform
from layerlock.publish.templates.subject import Subject


@dataclass(frozen=True, kw_only=True, slots=True)
class Tool:
    """A tool: the file that it reads, and what writes it."""

    file: str
    render: Callable[[Subject], str]


TOOLS: dict[str, Tool] = {
    "sam": Tool(file="template.yaml", render=sam.render),
    "serverless": Tool(file="serverless.yml", render=serverless.render),
    "terraform": Tool(file="main.tf", render=terraform.render),
    "cdk": Tool(file="app.py", render=cdk.render),
}
"""By name."""
