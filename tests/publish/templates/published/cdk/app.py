"""A function with the layer cv-small."""

import aws_cdk as cdk
from aws_cdk import aws_lambda as lambda_
from constructs import Construct


class CvSmallStack(cdk.Stack):
    def __init__(self, scope: Construct, construct_id: str, **options) -> None:
        super().__init__(scope, construct_id, **options)
        runtime = lambda_.Runtime("python3.11", lambda_.RuntimeFamily.PYTHON)
        layer = lambda_.LayerVersion.from_layer_version_arn(
            self,
            "Layer",
            "arn:aws:lambda:eu-west-1:123456789012:layer:cv-small:3",
        )
        lambda_.Function(
            self,
            "Function",
            runtime=runtime,
            architecture=lambda_.Architecture.X86_64,
            handler="app.handler",
            code=lambda_.Code.from_asset("function"),
            memory_size=1024,
            timeout=cdk.Duration.seconds(30),
            layers=[layer],
        )


app = cdk.App()
CvSmallStack(app, "CvSmall", env=cdk.Environment(region="eu-west-1"))
app.synth()
