"""A service for the Serverless Framework, version 3 and later, that deploys a function with what belongs to it."""

from __future__ import annotations

from collections.abc import Iterator

from layerlock.publish.templates import serverless
from layerlock.publish.templates.subject import FunctionSubject, quoted


def render(subject: FunctionSubject) -> str:
    """Write `serverless.yml`."""
    return "".join(f"{line}\n" for line in _lines(subject))


def _lines(subject: FunctionSubject) -> Iterator[str]:
    yield f"# Written by `layerlock template serverless {subject.name}`, from recipes/functions/{subject.name}.toml,"
    yield "# which is to be changed. `serverless deploy` makes everything below in one step."
    yield f"service: {subject.called.replace('_', '-')}"
    yield 'frameworkVersion: ">=3"'
    yield "configValidationMode: error"
    yield "provider:"
    yield "  name: aws"
    yield f"  region: {subject.region}" if subject.region else "  region: ${opt:region, 'us-east-1'}"
    yield f"  runtime: {subject.runtime}"
    yield f"  architecture: {subject.architecture}"
    yield from _permissions(subject)
    yield "package:"
    yield f"  artifact: {quoted(subject.zip)}"
    if subject.buckets:
        yield "custom:"
        yield "  # Names of buckets are shared by everyone on AWS: put something of your own in place of `example`."
    for bucket in subject.buckets:
        yield f"  {bucket.snake}: {subject.called_bucket(bucket)}-example"
    if subject.local:
        yield "layers:"
    for layer in subject.local:
        yield serverless.layer(layer).removesuffix("\n")
    yield from _function(subject)
    yield from _resources(subject)


def _permissions(subject: FunctionSubject) -> Iterator[str]:
    if not subject.buckets:
        return
    yield "  iam:"
    yield "    role:"
    yield "      statements:"
    for bucket in subject.buckets:
        arn = f"!Sub arn:${{AWS::Partition}}:s3:::${{self:custom.{bucket.snake}}}"
        actions = "s3:GetObject, s3:GetObjectVersion" if bucket.access == "read" else "s3:PutObject"
        yield "        - Effect: Allow"
        yield f"          Action: [{actions}]"
        yield f"          Resource: {arn}/*"
        if bucket.access == "read":
            yield '        # Without it S3 says "denied" of an object that is not there.'
            yield "        - Effect: Allow"
            yield "          Action: s3:ListBucket"
            yield f"          Resource: {arn}"


def _function(subject: FunctionSubject) -> Iterator[str]:
    yield "functions:"
    yield "  main:"
    yield f"    name: {quoted(subject.called)}"
    yield f"    handler: {quoted(subject.handler)}"
    yield f"    memorySize: {subject.memory}"
    yield f"    timeout: {subject.time}"
    if subject.layers:
        yield "    layers:"
    for layer in subject.layers:
        yield f"      - {quoted(layer.arn) if layer.arn is not None else f'!Ref {layer.camel}LambdaLayer'}"
    told = {
        bucket.variable: f"${{self:custom.{bucket.snake}}}" for bucket in subject.buckets if bucket.variable
    }
    if told or subject.variables:
        yield "    environment:"
    for name, value in {**{key: quoted(text) for key, text in subject.variables.items()}, **told}.items():
        yield f"      {name}: {value}"
    if subject.starting:
        yield f"    maximumRetryAttempts: {subject.retries}"
    if subject.starting or subject.path:
        yield "    events:"
    for bucket in subject.starting:
        yield "      - s3:"
        yield f"          bucket: ${{self:custom.{bucket.snake}}}"
        yield "          event: s3:ObjectCreated:*"
    if subject.path:
        yield f"      - httpApi: {quoted(f'{subject.method} {subject.path}')}"


def _resources(subject: FunctionSubject) -> Iterator[str]:
    # The framework makes those buckets itself that start the function.
    others = [bucket for bucket in subject.buckets if not bucket.starts]
    if others:
        yield "resources:"
        yield "  Resources:"
    for bucket in others:
        yield f"    {bucket.camel}:"
        yield "      Type: AWS::S3::Bucket"
        yield "      Properties:"
        yield f"        BucketName: ${{self:custom.{bucket.snake}}}"
        yield "        PublicAccessBlockConfiguration:"
        yield "          BlockPublicAcls: true"
        yield "          BlockPublicPolicy: true"
        yield "          IgnorePublicAcls: true"
        yield "          RestrictPublicBuckets: true"
