terraform {
  required_providers {
    archive = {
      source = "hashicorp/archive"
    }
    aws = {
      source = "hashicorp/aws"
    }
  }
}

provider "aws" {}

resource "aws_lambda_layer_version" "torch" {
  layer_name               = "torch"
  description              = "Says \"$${hello}\", %%{and} goodbye"
  filename                 = "dist/cv-small.zip"
  source_code_hash         = filebase64sha256("dist/cv-small.zip")
  license_info             = "(BSD-3-Clause OR MIT) AND MIT"
  compatible_runtimes      = ["python3.11"]
  compatible_architectures = ["arm64"]
  skip_destroy             = true
}

data "archive_file" "function" {
  type        = "zip"
  source_dir  = "${path.module}/function"
  output_path = "${path.module}/function.zip"
}

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
  name_prefix        = "torch-"
  assume_role_policy = data.aws_iam_policy_document.assume.json
}

resource "aws_iam_role_policy_attachment" "logs" {
  role       = aws_iam_role.function.name
  policy_arn = "arn:aws:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole"
}

resource "aws_lambda_function" "function" {
  function_name    = "torch-function"
  filename         = data.archive_file.function.output_path
  source_code_hash = data.archive_file.function.output_base64sha256
  role             = aws_iam_role.function.arn
  handler          = "app.handler"
  runtime          = "python3.11"
  architectures    = ["arm64"]
  memory_size      = 1024
  timeout          = 30
  layers           = [aws_lambda_layer_version.torch.arn]
}
