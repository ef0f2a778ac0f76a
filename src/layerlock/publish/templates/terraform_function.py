"""A configuration for Terraform and OpenTofu that deploys a function, laid out as `terraform fmt` does it."""

from __future__ import annotations

from collections.abc import Iterator

from layerlock.publish.templates import terraform
from layerlock.publish.templates.subject import BucketSubject, FunctionSubject
from layerlock.publish.templates.terraform import text


def render(subject: FunctionSubject) -> str:
    """Write `main.tf`."""
    name = subject.name
    return "\n".join(
        (
            f"# Written by `layerlock template terraform {name}`, from recipes/functions/{name}.toml.",
            terraform.head("aws", region=subject.region),
            *(terraform.layer(each).removesuffix("\n") for each in subject.local),
            *(part for bucket in subject.buckets for part in _bucket(subject, bucket)),
            terraform.ROLE.replace("NAME", text(f"{subject.snake[:24]}-")),
            *_permissions(subject),
            _function(subject),
            *_triggers(subject),
            *_address(subject),
        )
    )


def _bucket(subject: FunctionSubject, bucket: BucketSubject) -> Iterator[str]:
    # A prefix may have 37 characters; what makes it a name of its own comes behind.
    prefix = f"{subject.called_bucket(bucket)[:36]}-"
    yield f"""\
resource "aws_s3_bucket" "{bucket.snake}" {{
  bucket_prefix = {text(prefix)}
}}

resource "aws_s3_bucket_public_access_block" "{bucket.snake}" {{
  bucket                  = aws_s3_bucket.{bucket.snake}.id
  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}}
"""
    yield f"""\
output "{bucket.snake}" {{
  description = {text(bucket.summary)}
  value       = aws_s3_bucket.{bucket.snake}.id
}}
"""


def _permissions(subject: FunctionSubject) -> Iterator[str]:
    if not subject.buckets:
        return
    statements = []
    for bucket in subject.buckets:
        arn = f"aws_s3_bucket.{bucket.snake}.arn"
        actions = '"s3:GetObject", "s3:GetObjectVersion"' if bucket.access == "read" else '"s3:PutObject"'
        statements.append((actions, f'"${{{arn}}}/*"'))
        if bucket.access == "read":
            # Without it S3 says "denied" of an object that is not there.
            statements.append(('"s3:ListBucket"', arn))
    body = "".join(
        f"  statement {{\n    actions   = [{actions}]\n    resources = [{place}]\n  }}\n"
        for actions, place in statements
    )
    yield f'data "aws_iam_policy_document" "buckets" {{\n{body}}}\n'
    yield """\
resource "aws_iam_role_policy" "buckets" {
  role   = aws_iam_role.function.id
  policy = data.aws_iam_policy_document.buckets.json
}
"""


def _function(subject: FunctionSubject) -> str:
    layers = ", ".join(
        text(layer.arn) if layer.arn is not None else f"aws_lambda_layer_version.{layer.snake}.arn"
        for layer in subject.layers
    )
    told = {
        bucket.variable: f"aws_s3_bucket.{bucket.snake}.id" for bucket in subject.buckets if bucket.variable
    }
    variables = {**{key: text(value) for key, value in subject.variables.items()}, **told}
    width = max(map(len, variables), default=0)
    rows = "".join(f"      {name:{width}} = {value}\n" for name, value in variables.items())
    environment = f"\n  environment {{\n    variables = {{\n{rows}    }}\n  }}\n" if variables else ""
    return f"""\
resource "aws_lambda_function" "function" {{
  function_name    = {text(subject.called)}
  description      = {text(subject.summary)}
  filename         = {text(subject.zip)}
  source_code_hash = filebase64sha256({text(subject.zip)})
  role             = aws_iam_role.function.arn
  handler          = {text(subject.handler)}
  runtime          = {text(subject.runtime)}
  architectures    = [{text(subject.architecture)}]
  memory_size      = {subject.memory}
  timeout          = {subject.time}
  layers           = [{layers}]
{environment}}}
"""


def _triggers(subject: FunctionSubject) -> Iterator[str]:
    if subject.starting:
        yield f"""\
resource "aws_lambda_function_event_invoke_config" "function" {{
  function_name          = aws_lambda_function.function.function_name
  maximum_retry_attempts = {subject.retries}
}}
"""
    for bucket in subject.starting:
        yield f"""\
resource "aws_lambda_permission" "{bucket.snake}" {{
  action        = "lambda:InvokeFunction"
  function_name = aws_lambda_function.function.function_name
  principal     = "s3.amazonaws.com"
  source_arn    = aws_s3_bucket.{bucket.snake}.arn
}}

resource "aws_s3_bucket_notification" "{bucket.snake}" {{
  bucket = aws_s3_bucket.{bucket.snake}.id
  lambda_function {{
    lambda_function_arn = aws_lambda_function.function.arn
    events              = ["s3:ObjectCreated:*"]
  }}
  depends_on = [aws_lambda_permission.{bucket.snake}]
}}
"""


def _address(subject: FunctionSubject) -> Iterator[str]:
    if subject.path:
        yield f"""\
resource "aws_apigatewayv2_api" "api" {{
  name          = {text(subject.called)}
  protocol_type = "HTTP"
  route_key     = {text(f"{subject.method} {subject.path}")}
  target        = aws_lambda_function.function.arn
}}

resource "aws_lambda_permission" "api" {{
  action        = "lambda:InvokeFunction"
  function_name = aws_lambda_function.function.function_name
  principal     = "apigateway.amazonaws.com"
  source_arn    = "${{aws_apigatewayv2_api.api.execution_arn}}/*"
}}

output "url" {{
  description = "The function answers here"
  value       = "${{aws_apigatewayv2_api.api.api_endpoint}}{text(subject.path)[1:]}
}}
"""
