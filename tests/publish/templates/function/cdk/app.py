"""The function see.all_1, with its layers and what belongs to it.

Written by `layerlock template cdk see.all_1`, from recipes/functions/see.all_1.toml.
"""

import aws_cdk as cdk
from aws_cdk import aws_apigatewayv2 as gateway
from aws_cdk import aws_apigatewayv2_integrations as integrations
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_s3_notifications as notifications
from constructs import Construct


class SeeAll1Stack(cdk.Stack):
    def __init__(self, scope: Construct, construct_id: str, **options) -> None:
        super().__init__(scope, construct_id, **options)
        runtime = lambda_.Runtime("python3.11", lambda_.RuntimeFamily.PYTHON)
        in_here_bucket = s3.Bucket(
            self,
            "InHereBucket",
            block_public_access=s3.BlockPublicAccess.BLOCK_ALL,
            enforce_ssl=True,
        )
        cdk.CfnOutput(self, "InHereBucketName", value=in_here_bucket.bucket_name)
        function_bucket = s3.Bucket(
            self,
            "FunctionBucket",
            block_public_access=s3.BlockPublicAccess.BLOCK_ALL,
            enforce_ssl=True,
        )
        cdk.CfnOutput(self, "FunctionBucketName", value=function_bucket.bucket_name)
        function = lambda_.Function(
            self,
            "Function",
            function_name="see-all_1",
            description="Says \"${hello}\", %{and} goodbye",
            runtime=runtime,
            architecture=lambda_.Architecture.ARM_64,
            handler="app.main",
            code=lambda_.Code.from_asset("dist/see.all_1.zip"),
            memory_size=2048,
            timeout=cdk.Duration.seconds(60),
            retry_attempts=1,
            environment={
                "GREETING": "say \"hello\"",
                "ANSWERS": function_bucket.bucket_name,
            },
            layers=[
                lambda_.LayerVersion.from_layer_version_arn(
                    self,
                    "CvSmallLayer",
                    "arn:aws:lambda:eu-west-1:123456789012:layer:cv-small:3",
                ),
                lambda_.LayerVersion(
                    self,
                    "TorchLayer",
                    layer_version_name="torch",
                    description="Says \"${hello}\", %{and} goodbye",
                    license="(BSD-3-Clause OR MIT) AND MIT",
                    code=lambda_.Code.from_asset("dist/torch.zip"),
                    compatible_runtimes=[runtime],
                    compatible_architectures=[lambda_.Architecture.ARM_64],
                    removal_policy=cdk.RemovalPolicy.RETAIN,
                ),
            ],
        )
        in_here_bucket.grant_read(function)
        function_bucket.grant_write(function)
        in_here_bucket.add_event_notification(
            s3.EventType.OBJECT_CREATED, notifications.LambdaDestination(function)
        )
        api = gateway.HttpApi(self, "Api")
        api.add_routes(
            path="/see/{what}",
            methods=[gateway.HttpMethod.ANY],
            integration=integrations.HttpLambdaIntegration("Integration", function),
        )
        cdk.CfnOutput(self, "Url", value=f"{api.api_endpoint}/see/{{what}}")


app = cdk.App()
SeeAll1Stack(app, "SeeAll1", env=cdk.Environment(region="eu-west-1"))
app.synth()
