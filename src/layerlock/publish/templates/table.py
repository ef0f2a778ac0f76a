"""The tools that templates are written for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from layerlock.publish.templates import (
    cdk,
    cdk_function,
    sam,
    sam_function,
    serverless,
    serverless_function,
    terraform,
    terraform_function,
)
from layerlock.publish.templates.subject import FunctionSubject, Subject


@dataclass(frozen=True, kw_only=True, slots=True)
class Tool:
    """A tool: the file that it reads, and what writes it for a layer and for a function."""

    file: str
    render: Callable[[Subject], str]
    render_function: Callable[[FunctionSubject], str]


TOOLS: dict[str, Tool] = {
    "sam": Tool(file="template.yaml", render=sam.render, render_function=sam_function.render),
    "serverless": Tool(
        file="serverless.yml", render=serverless.render, render_function=serverless_function.render
    ),
    "terraform": Tool(file="main.tf", render=terraform.render, render_function=terraform_function.render),
    "cdk": Tool(file="app.py", render=cdk.render, render_function=cdk_function.render),
}
"""By name."""
