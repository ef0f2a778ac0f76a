"""A configuration for Terraform and OpenTofu, laid out as `terraform fmt` does it."""

from __future__ import annotations

from layerlock.publish.templates.subject import Subject, quoted


def render(subject: Subject) -> str:
    """Write `main.tf`."""
    named = f"aws_lambda_layer_version.{subject.snake}.arn" if subject.arn is None else text(subject.arn)
    return f"""\
{head("archive", "aws", region=subject.region)}
{"" if subject.arn is not None else layer(subject)}\
data "archive_file" "function" {{
  type        = "zip"
  source_dir  = "${{path.module}}/function"
  output_path = "${{path.module}}/function.zip"
}}

{ROLE.replace("NAME", text(f"{subject.snake[:24]}-"))}
resource "aws_lambda_function" "function" {{
  function_name    = {text(f"{subject.snake}-function")}
  filename         = data.archive_file.function.output_path
  source_code_hash = data.archive_file.function.output_base64sha256
  role             = aws_iam_role.function.arn
  handler          = "app.handler"
  runtime          = {text(subject.runtime)}
  architectures    = [{text(subject.architecture)}]
  memory_size      = 1024
  timeout          = 30
  layers           = [{named}]
}}
"""


ROLE = """\
data "aws_iam_policy_document" "assume" {
  statement {
    actions = ["sts:AssumeRole"]
    principals {
      type        = "Service"
      identifiers = ["lambda.amazonaws.com"]
    }
  }
}

resource "aws_iam_role" "function" {
  name_prefix        = NAME
  assume_role_policy = data.aws_iam_policy_document.assume.json
}

resource "aws_iam_role_policy_attachment" "logs" {
  role       = aws_iam_role.function.name
  policy_arn = "arn:aws:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole"
}
"""
"""The role of a function, which may write its log; `NAME` stands for the beginning of its name."""


def head(*providers: str, region: str | None) -> str:
    """Write which providers are needed, of HashiCorp's, and the region."""
    needed = "".join(f'    {name} = {{\n      source = "hashicorp/{name}"\n    }}\n' for name in providers)
    inside = f"\n  region = {text(region)}\n" if region is not None else ""
    return f"""\
terraform {{
  required_providers {{
{needed}\
  }}
}}

provider "aws" {{{inside}}}
"""


def layer(subject: Subject) -> str:
    """Write the resource that makes a layer version of a zip."""
    return f"""\
resource "aws_lambda_layer_version" "{subject.snake}" {{
  layer_name               = {text(subject.layer)}
  description              = {text(subject.summary)}
  filename                 = {text(subject.zip)}
  source_code_hash         = filebase64sha256({text(subject.zip)})
  license_info             = {text(subject.licence)}
  compatible_runtimes      = [{text(subject.runtime)}]
  compatible_architectures = [{text(subject.architecture)}]
  skip_destroy             = true
}}

"""


def text(value: str) -> str:
    """Quote text for Terraform, whose strings are templates."""
    return quoted(value).replace("${", "$${").replace("%{", "%%{")
