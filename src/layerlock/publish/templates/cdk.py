"""An app for the AWS CDK, version 2, in Python."""

from __future__ import annotations

from layerlock.publish.templates.subject import Subject, commented, quoted


def render(subject: Subject) -> str:
    """Write `app.py`."""
    runtime = f"lambda_.Runtime({quoted(subject.runtime)}, lambda_.RuntimeFamily.PYTHON)"
    name = processor(subject.architecture)
    environment = f", env=cdk.Environment(region={quoted(subject.region)})" if subject.region else ""
    return f'''\
"""A function with the layer {commented(subject.layer)}."""

import aws_cdk as cdk
from aws_cdk import aws_lambda as lambda_
from constructs import Construct


class {subject.camel}Stack(cdk.Stack):
    def __init__(self, scope: Construct, construct_id: str, **options) -> None:
        super().__init__(scope, construct_id, **options)
        runtime = {runtime}
        layer = {layer(subject, "Layer")}
        lambda_.Function(
            self,
            "Function",
            runtime=runtime,
            architecture=lambda_.Architecture.{name},
            handler="app.handler",
            code=lambda_.Code.from_asset("function"),
            memory_size=1024,
            timeout=cdk.Duration.seconds(30),
            layers=[layer],
        )


app = cdk.App()
{subject.camel}Stack(app, "{subject.camel}"{environment})
app.synth()
'''


def processor(architecture: str) -> str:
    """Name a processor as the CDK does."""
    return "ARM_64" if architecture == "arm64" else "X86_64"


def layer(subject: Subject, construct: str) -> str:
    """Write the expression that is a layer: a published version, or one made of a zip; `construct` is its name."""
    if subject.arn is not None:
        return f"""\
lambda_.LayerVersion.from_layer_version_arn(
            self,
            {quoted(construct)},
            {quoted(subject.arn)},
        )"""
    return f"""\
lambda_.LayerVersion(
            self,
            {quoted(construct)},
            layer_version_name={quoted(subject.layer)},
            description={quoted(subject.summary)},
            license={quoted(subject.licence)},
            code=lambda_.Code.from_asset({quoted(subject.zip)}),
            compatible_runtimes=[runtime],
            compatible_architectures=[lambda_.Architecture.{processor(subject.architecture)}],
            removal_policy=cdk.RemovalPolicy.RETAIN,
        )"""
