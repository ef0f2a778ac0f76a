"""torchvision: its compiled operators, its transforms on tensors, and a classifier of a thousand classes.

Pillow, which it imports, is of no concern here: it comes from what the tests bring along.
"""

import sys

sys.path.append("/deps/torch-test-needs-x86_64/lib/python3.9/site-packages")

import torch
import torchvision
from torchvision import ops, transforms

# Compiled operators: two boxes overlap by more than half, the third stands apart.
boxes = torch.tensor([[0.0, 0.0, 10.0, 10.0], [1.0, 1.0, 11.0, 11.0], [20.0, 20.0, 30.0, 30.0]])
assert ops.nms(boxes, torch.tensor([0.9, 0.8, 0.7]), 0.5).tolist() == [0, 2]
assert ops.box_iou(boxes[:1], boxes[1:])[0, 1] == 0
assert ops.roi_align(torch.ones(1, 1, 8, 8), [torch.tensor([[0.0, 0.0, 4.0, 4.0]])], 2).shape == (1, 1, 2, 2)

prepared = transforms.Compose([transforms.Resize(64), transforms.CenterCrop(56), transforms.Normalize([0.5] * 3, [0.25] * 3)])
picture = prepared(torch.full((3, 80, 100), 0.75))
assert picture.shape == (3, 56, 56)
assert torch.allclose(picture, torch.ones(3, 56, 56))

torch.manual_seed(1)
net = torchvision.models.squeezenet1_1(pretrained=False).eval()
with torch.no_grad():
    # A raised bias makes one of the thousand classes the answer.
    net.classifier[1].bias[515] += 10
    answer = net(picture[None])
assert answer.shape == (1, 1000)
assert int(answer.argmax()) == 515
for name in ("resnet18", "mobilenet_v2", "densenet121"):
    with torch.no_grad():
        assert getattr(torchvision.models, name)(pretrained=False).eval()(torch.zeros(1, 3, 64, 64)).shape == (1, 1000), name
print("vision agrees")
