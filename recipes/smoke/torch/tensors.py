"""torch computes, differentiates, saves and loads, compiles to TorchScript, and feeds batches, without numpy or /dev/shm."""

import io
import platform

import torch

assert torch.__version__.startswith("1.13.1"), torch.__version__
assert platform.machine() == "aarch64", platform.machine()
assert not torch.cuda.is_available()

# Linear algebra: a system with a known solution.
system = torch.eye(12, dtype=torch.float64) * 2 - torch.diag(torch.ones(11, dtype=torch.float64), 1)
wanted = torch.arange(12, dtype=torch.float64)
assert torch.allclose(torch.linalg.solve(system, system @ wanted), wanted)

# Derivatives: of x**3 at 1, 2, 3.
x = torch.tensor([1.0, 2.0, 3.0], requires_grad=True)
(x**3).sum().backward()
assert x.grad.tolist() == [3.0, 12.0, 27.0]

# A convolution that adds up nine ones.
ones = torch.nn.Conv2d(1, 1, 3, bias=False)
torch.nn.init.ones_(ones.weight)
assert torch.equal(ones(torch.ones(1, 1, 5, 5)), torch.full((1, 1, 3, 3), 9.0))

# Convolution, normalisation and pooling as a net, and the way of its weights through a file.
torch.manual_seed(1)
net = torch.nn.Sequential(
    torch.nn.Conv2d(3, 8, 3), torch.nn.BatchNorm2d(8), torch.nn.ReLU(), torch.nn.AdaptiveAvgPool2d(1),
    torch.nn.Flatten(), torch.nn.Linear(8, 4),
).eval()
picture = torch.rand(2, 3, 16, 16)
with torch.no_grad():
    answer = net(picture)
assert answer.shape == (2, 4)
file = io.BytesIO()
torch.save(net.state_dict(), file)
file.seek(0)
for parameter in net.parameters():
    torch.nn.init.zeros_(parameter)
net.load_state_dict(torch.load(file))
with torch.no_grad():
    assert torch.equal(net(picture), answer)

# TorchScript: compiled, saved and loaded.
traced = torch.jit.trace(net, picture)
file = io.BytesIO()
torch.jit.save(traced, file)
file.seek(0)
with torch.no_grad():
    assert torch.allclose(torch.jit.load(file)(picture), answer)


@torch.jit.script
def total(values: torch.Tensor, limit: int) -> torch.Tensor:
    found = torch.zeros(1)
    for index in range(limit):
        found += values[index]
    return found


assert total(torch.arange(5.0), 4).item() == 6.0

# Batches in this process: workers would want /dev/shm, which Lambda does not have.
batches = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(torch.arange(10)), batch_size=4, num_workers=0)
assert [len(batch[0]) for batch in batches] == [4, 4, 2]

# numpy is of another layer; without it torch warns and goes on.
try:
    import numpy
except ImportError:
    try:
        torch.ones(1).numpy()
    except RuntimeError as error:
        assert "Numpy is not available" in str(error), error
    else:
        raise AssertionError("there is an array without numpy")
print("tensors agree")
