# Written by `layerlock template terraform see.all_1`, from recipes/functions/see.all_1.toml.
terraform {
  required_providers {
    aws = {
      source = "hashicorp/aws"
    }
  }
}

provider "aws" {
  region = "eu-west-1"
}

resource "aws_lambda_layer_version" "torch" {
  layer_name               = "torch"
  description              = "Says \"$${hello}\", %%{and} goodbye"
  filename                 = "dist/torch.zip"
  source_code_hash         = filebase64sha256("dist/torch.zip")
  license_info             = "(BSD-3-Clause OR MIT) AND MIT"
  compatible_runtimes      = ["python3.11"]
  compatible_architectures = ["arm64"]
  skip_destroy             = true
}

resource "aws_s3_bucket" "in_here" {
  bucket_prefix = "see-all-1-in-here-"
}

resource "aws_s3_bucket_public_access_block" "in_here" {
  bucket                  = aws_s3_bucket.in_here.id
  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

output "in_here" {
  description = "Uploads"
  value       = aws_s3_bucket.in_here.id
}

resource "aws_s3_bucket" "function" {
  bucket_prefix = "see-all-1-function-"
}

resource "aws_s3_bucket_public_access_block" "function" {
  bucket                  = aws_s3_bucket.function.id
  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

output "function" {
  description = "Answers"
  value       = aws_s3_bucket.function.id
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
  name_prefix        = "see_all_1-"
  assume_role_policy = data.aws_iam_policy_document.assume.json
}

resource "aws_iam_role_policy_attachment" "logs" {
  role       = aws_iam_role.function.name
  policy_arn = "arn:aws:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole"
}

data "aws_iam_policy_document" "buckets" {
  statement {
    actions   = ["s3:GetObject", "s3:GetObjectVersion"]
    resources = ["${aws_s3_bucket.in_here.arn}/*"]
  }
  statement {
    actions   = ["s3:ListBucket"]
    resources = [aws_s3_bucket.in_here.arn]
  }
  statement {
    actions   = ["s3:PutObject"]
    resources = ["${aws_s3_bucket.function.arn}/*"]
  }
}

resource "aws_iam_role_policy" "buckets" {
  role   = aws_iam_role.function.id
  policy = data.aws_iam_policy_document.buckets.json
}

resource "aws_lambda_function" "function" {
  function_name    = "see-all_1"
  description      = "Says \"$${hello}\", %%{and} goodbye"
  filename         = "dist/see.all_1.zip"
  source_code_hash = filebase64sha256("dist/see.all_1.zip")
  role             = aws_iam_role.function.arn
  handler          = "app.main"
  runtime          = "python3.11"
  architectures    = ["arm64"]
  memory_size      = 2048
  timeout          = 60
  layers           = ["arn:aws:lambda:eu-west-1:123456789012:layer:cv-small:3", aws_lambda_layer_version.torch.arn]

  environment {
    variables = {
      GREETING = "say \"hello\""
      ANSWERS  = aws_s3_bucket.function.id
    }
  }
}

resource "aws_lambda_function_event_invoke_config" "function" {
  function_name          = aws_lambda_function.function.function_name
  maximum_retry_attempts = 1
}

resource "aws_lambda_permission" "in_here" {
  action        = "lambda:InvokeFunction"
  function_name = aws_lambda_function.function.function_name
  principal     = "s3.amazonaws.com"
  source_arn    = aws_s3_bucket.in_here.arn
}

resource "aws_s3_bucket_notification" "in_here" {
  bucket = aws_s3_bucket.in_here.id
  lambda_function {
    lambda_function_arn = aws_lambda_function.function.arn
    events              = ["s3:ObjectCreated:*"]
  }
  depends_on = [aws_lambda_permission.in_here]
}

resource "aws_apigatewayv2_api" "api" {
  name          = "see-all_1"
  protocol_type = "HTTP"
  route_key     = "ANY /see/{what}"
  target        = aws_lambda_function.function.arn
}

resource "aws_lambda_permission" "api" {
  action        = "lambda:InvokeFunction"
  function_name = aws_lambda_function.function.function_name
  principal     = "apigateway.amazonaws.com"
  source_arn    = "${aws_apigatewayv2_api.api.execution_arn}/*"
}

output "url" {
  description = "The function answers here"
  value       = "${aws_apigatewayv2_api.api.api_endpoint}/see/{what}"
}
