"""A configuration for Terraform and OpenTofu, laid out as `terraform fmt` does it."""

from __future__ import annotations

from layerlock.publish.templates.subject import Subject, quoted


def render(subject: Subject) -> str:
    """Write `main.tf`."""
    named = f"aws_lambda_layer_version.{subject.snake}.arn" if subject.arn is None else _text(subject.arn)
    region = f"  region = {_text(subject.region)}\n" if subject.region is not None else ""
    return f"""\
terraform {{
  required_providers {{
    archive = {{
      source = "hashicorp/archive"
    }}
    aws = {{
      source = "hashicorp/aws"
    }}
  }}
}}

provider "aws" {{{chr(10) if region else ""}{region}}}

{"" if subject.arn is not None else _layer(subject)}\
data "archive_file" "function" {{
  type        = "zip"
  source_dir  = "${{path.module}}/function"
  output_path = "${{path.module}}/function.zip"
}}

data "aws_iam_policy_document" "assume" {{
  statement {{
    actions = ["sts:AssumeRole"]
    principals {{
      type        = "Service"
      identifiers = ["lambda.amazonaws.com"]
    }}
  }}
}}

resource "aws_iam_role" "function" {{
  name_prefix        = {_text(subject.snake[:24] + "-")}
  assume_role_policy = data.aws_iam_policy_document.assume.json
}}

resource "aws_iam_role_policy_attachment" "logs" {{
  role       = aws_iam_role.function.name
  policy_arn = "arn:aws:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole"
}}

resource "aws_lambda_function" "function" {{
  function_name    = {_text(f"{subject.snake}-function")}
  filename         = data.archive_file.function.output_path
  source_code_hash = data.archive_file.function.output_base64sha256
  role             = aws_iam_role.function.arn
  handler          = "app.handler"
  runtime          = {_text(subject.runtime)}
  architectures    = [{_text(subject.architecture)}]
  memory_size      = 1024
  timeout          = 30
  layers           = [{named}]
}}
"""


def _layer(subject: Subject) -> str:
    return f"""\
resource "aws_lambda_layer_version" "{subject.snake}" {{
  layer_name               = {_text(subject.layer)}
  description              = {_text(subject.summary)}
  filename                 = {_text(subject.zip)}
  source_code_hash         = filebase64sha256({_text(subject.zip)})
  license_info             = {_text(subject.licence)}
  compatible_runtimes      = [{_text(subject.runtime)}]
  compatible_architectures = [{_text(subject.architecture)}]
  skip_destroy             = true
}}

"""


def _text(text: str) -> str:
    return quoted(text).replace("${", "$${").replace("%{", "%%{")
