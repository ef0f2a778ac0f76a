"""A service for the Serverless Framework, version 3 and later."""

from __future__ import annotations

from layerlock.publish.templates.subject import Subject, quoted


def render(subject: Subject) -> str:
    """Write `serverless.yml`."""
    named = quoted(subject.arn) if subject.arn is not None else f"!Ref {subject.camel}LambdaLayer"
    region = f"  region: {subject.region}\n" if subject.region is not None else ""
    return f"""\
service: {subject.layer.replace(".", "-").replace("_", "-")}-function
frameworkVersion: ">=3"
provider:
  name: aws
{region}\
  runtime: {subject.runtime}
  architecture: {subject.architecture}
package:
  patterns:
    - "!**"
    - "app.py"
{"" if subject.arn is not None else f"layers:{chr(10)}{layer(subject)}"}\
functions:
  main:
    handler: app.handler
    memorySize: 1024
    timeout: 30
    layers:
      - {named}
"""


def layer(subject: Subject) -> str:
    """Write the entry of a layer, made of its zip."""
    # The framework calls the resource after the key, its first letter made large, with `LambdaLayer` behind it.
    return f"""\
  {subject.camel}:
    name: {quoted(subject.layer)}
    description: {quoted(subject.summary)}
    licenseInfo: {quoted(subject.licence)}
    package:
      artifact: {quoted(subject.zip)}
    retain: true
    compatibleRuntimes:
      - {subject.runtime}
    compatibleArchitectures:
      - {subject.architecture}
"""
