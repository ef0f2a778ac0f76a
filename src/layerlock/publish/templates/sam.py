"""A template for AWS SAM, which CloudFormation understands too."""

from __future__ import annotations

from layerlock.publish.templates.subject import Subject, quoted


def render(subject: Subject) -> str:
    """Write `template.yaml`."""
    named = quoted(subject.arn) if subject.arn is not None else f"!Ref {subject.camel}Layer"
    return f"""\
AWSTemplateFormatVersion: "2010-09-09"
Transform: AWS::Serverless-2016-10-31
Description: {quoted(f"A function with the layer {subject.layer}")}
Resources:
{"" if subject.arn is not None else layer(subject)}\
  Function:
    Type: AWS::Serverless::Function
    Properties:
      CodeUri: function/
      Handler: app.handler
      Runtime: {subject.runtime}
      Architectures:
        - {subject.architecture}
      MemorySize: 1024
      Timeout: 30
      Layers:
        - {named}
"""


def layer(subject: Subject) -> str:
    """Write the resource that makes a layer of its zip."""
    return f"""\
  {subject.camel}Layer:
    Type: AWS::Serverless::LayerVersion
    Properties:
      LayerName: {quoted(subject.layer)}
      Description: {quoted(subject.summary)}
      ContentUri: {quoted(subject.zip)}
      LicenseInfo: {quoted(subject.licence)}
      RetentionPolicy: Retain
      CompatibleRuntimes:
        - {subject.runtime}
      CompatibleArchitectures:
        - {subject.architecture}
"""
