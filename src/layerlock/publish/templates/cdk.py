"""An app for the AWS CDK, version 2, in Python."""

from __future__ import annotations

from layerlock.publish.templates.subject import Subject, commented, quoted


def render(subject: Subject) -> str:
    """Write `app.py`."""
    runtime = f"lambda_.Runtime({quoted(subject.runtime)}, lambda_.RuntimeFamily.PYTHON)"
    processor = "ARM_64" if subject.architecture == "arm64" else "X86_64"
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
{_layer(subject, processor)}
        lambda_.Function(
            self,
            "Function",
            runtime=runtime,
            architecture=lambda_.Architecture.{processor},
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


def _layer(subject: Subject, processor: str) -> str:
    if subject.arn is not None:
        return f"""\
        layer = lambda_.LayerVersion.from_layer_version_arn(
            self,
            "Layer",
            {quoted(subject.arn)},
        )"""
    return f"""\
        layer = lambda_.LayerVersion(
            self,
            "Layer",
            layer_version_name={quoted(subject.layer)},
            description={quoted(subject.summary)},
            license={quoted(subject.licence)},
            code=lambda_.Code.from_asset({quoted(subject.zip)}),
            compatible_runtimes=[runtime],
            compatible_architectures=[lambda_.Architecture.{processor}],
            removal_policy=cdk.RemovalPolicy.RETAIN,
        )"""
