"""A handler that computes with torch and knows torchvision's classes."""

import torch
from torchvision.models import SqueezeNet1_1_Weights


def handler(event, context):
    return {
        "trace": float(torch.eye(event["size"]).trace()),
        "classes": len(SqueezeNet1_1_Weights.IMAGENET1K_V1.meta["categories"]),
        "function": context.function_name,
    }
