"""An app for the AWS CDK, version 2, in Python, that deploys a function with what belongs to it."""

from __future__ import annotations

from collections.abc import Iterator

from layerlock.publish.templates import cdk
from layerlock.publish.templates.subject import FunctionSubject, Subject, quoted


def render(subject: FunctionSubject) -> str:
    """Write `app.py`."""
    return "".join(f"{line}\n" if line else "\n" for line in _lines(subject))


def _lines(subject: FunctionSubject) -> Iterator[str]:
    yield f'"""The function {subject.name}, with its layers and what belongs to it.'
    yield ""
    yield f"Written by `layerlock template cdk {subject.name}`, from recipes/functions/{subject.name}.toml."
    yield '"""'
    yield ""
    yield "import aws_cdk as cdk"
    if subject.path:
        yield "from aws_cdk import aws_apigatewayv2 as gateway"
        yield "from aws_cdk import aws_apigatewayv2_integrations as integrations"
    yield "from aws_cdk import aws_lambda as lambda_"
    if subject.buckets:
        yield "from aws_cdk import aws_s3 as s3"
    if subject.starting:
        yield "from aws_cdk import aws_s3_notifications as notifications"
    yield "from constructs import Construct"
    yield ""
    yield ""
    yield f"class {subject.camel}Stack(cdk.Stack):"
    yield "    def __init__(self, scope: Construct, construct_id: str, **options) -> None:"
    yield "        super().__init__(scope, construct_id, **options)"
    yield f"        runtime = lambda_.Runtime({quoted(subject.runtime)}, lambda_.RuntimeFamily.PYTHON)"
    yield from _buckets(subject)
    yield from _function(subject)
    yield from _around(subject)
    yield ""
    yield ""
    environment = f", env=cdk.Environment(region={quoted(subject.region)})" if subject.region else ""
    yield "app = cdk.App()"
    yield f"{subject.camel}Stack(app, {quoted(subject.camel)}{environment})"
    yield "app.synth()"


def _buckets(subject: FunctionSubject) -> Iterator[str]:
    for bucket in subject.buckets:
        yield f"        {bucket.snake}_bucket = s3.Bucket("
        yield "            self,"
        yield f"            {quoted(bucket.camel)},"
        yield "            block_public_access=s3.BlockPublicAccess.BLOCK_ALL,"
        yield "            enforce_ssl=True,"
        yield "        )"
        yield f"        cdk.CfnOutput(self, {quoted(f'{bucket.camel}Name')}, value={bucket.snake}_bucket.bucket_name)"


def _function(subject: FunctionSubject) -> Iterator[str]:
    processor = cdk.processor(subject.architecture)
    yield "        function = lambda_.Function("
    yield "            self,"
    yield '            "Function",'
    yield f"            function_name={quoted(subject.called)},"
    yield f"            description={quoted(subject.summary)},"
    yield "            runtime=runtime,"
    yield f"            architecture=lambda_.Architecture.{processor},"
    yield f"            handler={quoted(subject.handler)},"
    yield f"            code=lambda_.Code.from_asset({quoted(subject.zip)}),"
    yield f"            memory_size={subject.memory},"
    yield f"            timeout=cdk.Duration.seconds({subject.time}),"
    if subject.starting:
        yield f"            retry_attempts={subject.retries},"
    told = {
        bucket.variable: f"{bucket.snake}_bucket.bucket_name" for bucket in subject.buckets if bucket.variable
    }
    variables = {**{key: quoted(text) for key, text in subject.variables.items()}, **told}
    if variables:
        yield "            environment={"
        yield from (f"                {quoted(name)}: {value}," for name, value in variables.items())
        yield "            },"
    if subject.layers:
        yield "            layers=["
        for layer in subject.layers:
            yield from (f"                {line}" for line in _layer(layer).splitlines())
        yield "            ],"
    yield "        )"


def _layer(layer: Subject) -> str:
    lines = [line.removeprefix(" " * 8) for line in cdk.layer(layer, f"{layer.camel}Layer").splitlines()]
    return "\n".join(lines) + ","


def _around(subject: FunctionSubject) -> Iterator[str]:
    for bucket in subject.buckets:
        yield f"        {bucket.snake}_bucket.grant_{bucket.access}(function)"
    for bucket in subject.starting:
        yield f"        {bucket.snake}_bucket.add_event_notification("
        yield "            s3.EventType.OBJECT_CREATED, notifications.LambdaDestination(function)"
        yield "        )"
    if subject.path:
        yield '        api = gateway.HttpApi(self, "Api")'
        yield "        api.add_routes("
        yield f"            path={quoted(subject.path)},"
        yield f"            methods=[gateway.HttpMethod.{subject.method}],"
        yield '            integration=integrations.HttpLambdaIntegration("Integration", function),'
        yield "        )"
        yield f'        cdk.CfnOutput(self, "Url", value=f"{{api.api_endpoint}}{subject.path}")'.replace(
            subject.path, subject.path.replace("{", "{{").replace("}", "}}")
        )
