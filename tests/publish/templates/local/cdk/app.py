"""A function with the layer torch."""

import aws_cdk as cdk
from aws_cdk import aws_lambda as lambda_
from constructs import Construct


class TorchStack(cdk.Stack):
    def __init__(self, scope: Construct, construct_id: str, **options) -> None:
        super().__init__(scope, construct_id, **options)
        runtime = lambda_.Runtime("python3.11", lambda_.RuntimeFamily.PYTHON)
        layer = lambda_.LayerVersion(
            self,
            "Layer",
            layer_version_name="torch",
            description="Says \"${hello}\", %{and} goodbye",
            license="(BSD-3-Clause OR MIT) AND MIT",
            code=lambda_.Code.from_asset("dist/cv-small.zip"),
            compatible_runtimes=[runtime],
            compatible_architectures=[lambda_.Architecture.ARM_64],
            removal_policy=cdk.RemovalPolicy.RETAIN,
        )
        lambda_.Function(
            self,
            "Function",
            runtime=runtime,
            architecture=lambda_.Architecture.ARM_64,
            handler="app.handler",
            code=lambda_.Code.from_asset("function"),
            memory_size=1024,
            timeout=cdk.Duration.seconds(30),
            layers=[layer],
        )


app = cdk.App()
TorchStack(app, "Torch")
app.synth()
