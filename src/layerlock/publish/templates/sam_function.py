"""A template for AWS SAM that deploys a function with its layers, buckets, triggers, address and permissions."""

from __future__ import annotations

from collections.abc import Iterator

from layerlock.publish.templates import sam
from layerlock.publish.templates.subject import BucketSubject, FunctionSubject, quoted


def render(subject: FunctionSubject) -> str:
    """Write `template.yaml`."""
    # cfn-lint's W2531 fails from a certain day on; that day is told here, and by `layerlock audit`.
    parts = [
        f"""\
# Written by `layerlock template sam {subject.name}`, from recipes/functions/{subject.name}.toml,
# which is to be changed. This makes everything below in one step:
# sam deploy --guided --resolve-s3 --capabilities CAPABILITY_IAM
AWSTemplateFormatVersion: "2010-09-09"
Transform: AWS::Serverless-2016-10-31
Description: {quoted(subject.summary)}
Metadata:
  cfn-lint:
    config:
      ignore_checks:
        # {subject.runtime} is past its support from {subject.deprecated} on, of which `layerlock audit` warns.
        - W2531
Resources:
""",
        *(sam.layer(each) for each in subject.local),
        *(_bucket(subject, bucket) for bucket in subject.buckets),
        "".join(f"{line}\n" for line in _function(subject)),
        *_outputs(subject),
    ]
    return "".join(parts)


def _bucket(subject: FunctionSubject, bucket: BucketSubject) -> str:
    return f"""\
  {bucket.camel}:
    Type: AWS::S3::Bucket
    Properties:
      # Named here and not by CloudFormation: a bucket needs the function for its trigger, and the function the bucket's
      # name for its permissions, which would be a circle.
      BucketName: {_name(subject, bucket)}
      PublicAccessBlockConfiguration:
        BlockPublicAcls: true
        BlockPublicPolicy: true
        IgnorePublicAcls: true
        RestrictPublicBuckets: true
"""


def _function(subject: FunctionSubject) -> Iterator[str]:
    yield "  Function:"
    yield "    Type: AWS::Serverless::Function"
    yield "    Properties:"
    yield f"      FunctionName: {quoted(subject.called)}"
    yield f"      CodeUri: {quoted(subject.zip)}"
    yield f"      Handler: {quoted(subject.handler)}"
    yield f"      Runtime: {subject.runtime}"
    yield "      Architectures:"
    yield f"        - {subject.architecture}"
    yield f"      MemorySize: {subject.memory}"
    yield f"      Timeout: {subject.time}"
    if subject.layers:
        yield "      Layers:"
    for layer in subject.layers:
        yield f"        - {quoted(layer.arn) if layer.arn is not None else f'!Ref {layer.camel}Layer'}"
    told = {bucket.variable: _name(subject, bucket) for bucket in subject.buckets if bucket.variable}
    if told or subject.variables:
        yield "      Environment:"
        yield "        Variables:"
    for name, value in {**{key: quoted(text) for key, text in subject.variables.items()}, **told}.items():
        yield f"          {name}: {value}"
    if subject.buckets:
        yield "      Policies:"
    for bucket in subject.buckets:
        yield f"        - S3{bucket.access.title()}Policy:"
        yield f"            BucketName: {_name(subject, bucket)}"
    if subject.starting:
        yield "      EventInvokeConfig:"
        yield f"        MaximumRetryAttempts: {subject.retries}"
    if subject.starting or subject.path:
        yield "      Events:"
    for bucket in subject.starting:
        yield f"        {bucket.camel}Object:"
        yield "          Type: S3"
        yield "          Properties:"
        yield f"            Bucket: !Ref {bucket.camel}"
        yield "            Events: s3:ObjectCreated:*"
    if subject.path:
        yield "        Request:"
        yield "          Type: HttpApi"
        yield "          Properties:"
        yield f"            Method: {subject.method}"
        yield f"            Path: {quoted(subject.path)}"


def _outputs(subject: FunctionSubject) -> Iterator[str]:
    if subject.buckets or subject.path:
        yield "Outputs:\n"
    for bucket in subject.buckets:
        yield f"""\
  {bucket.camel}:
    Description: {quoted(bucket.summary)}
    Value: !Ref {bucket.camel}
"""
    if subject.path:
        yield f"""\
  Url:
    Description: The function answers here
    Value: !Sub {quoted("https://${ServerlessHttpApi}.execute-api.${AWS::Region}.${AWS::URLSuffix}" + subject.path)}
"""


def _name(subject: FunctionSubject, bucket: BucketSubject) -> str:
    return f"!Sub {subject.called_bucket(bucket)}-${{AWS::AccountId}}-${{AWS::Region}}"
