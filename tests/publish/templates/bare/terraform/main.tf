# Written by `layerlock template terraform bare`, from recipes/functions/bare.toml.
terraform {
  required_providers {
    aws = {
      source = "hashicorp/aws"
    }
  }
}

provider "aws" {}

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
  name_prefix        = "bare-"
  assume_role_policy = data.aws_iam_policy_document.assume.json
}

resource "aws_iam_role_policy_attachment" "logs" {
  role       = aws_iam_role.function.name
  policy_arn = "arn:aws:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole"
}

resource "aws_lambda_function" "function" {
  function_name    = "bare"
  description      = "Says \"$${hello}\", %%{and} goodbye"
  filename         = "dist/bare.zip"
  source_code_hash = filebase64sha256("dist/bare.zip")
  role             = aws_iam_role.function.arn
  handler          = "app.main"
  runtime          = "python3.11"
  architectures    = ["arm64"]
  memory_size      = 2048
  timeout          = 60
  layers           = []
}
