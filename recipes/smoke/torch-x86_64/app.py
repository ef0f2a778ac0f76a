"""A handler that computes with torch and knows torchvision's classifiers."""

import torch
from torchvision import models


def handler(event, context):
    with torch.no_grad():
        classes = models.squeezenet1_1().eval()(torch.zeros(1, 3, 64, 64)).shape[1]
    return {
        "trace": float(torch.eye(event["size"]).trace()),
        "classes": classes,
        "function": context.function_name,
    }
