"""The function bare, with its layers and what belongs to it.

Written by `layerlock template cdk bare`, from recipes/functions/bare.toml.
"""

import aws_cdk as cdk
from aws_cdk import aws_lambda as lambda_
from constructs import Construct


class BareStack(cdk.Stack):
    def __init__(self, scope: Construct, construct_id: str, **options) -> None:
        super().__init__(scope, construct_id, **options)
        runtime = lambda_.Runtime("python3.11", lambda_.RuntimeFamily.PYTHON)
        function = lambda_.Function(
            self,
            "Function",
            function_name="bare",
            description="Says \"${hello}\", %{and} goodbye",
            runtime=runtime,
            architecture=lambda_.Architecture.ARM_64,
            handler="app.main",
            code=lambda_.Code.from_asset("dist/bare.zip"),
            memory_size=2048,
            timeout=cdk.Duration.seconds(60),
        )


app = cdk.App()
BareStack(app, "Bare")
app.synth()
