"""torch computes, differentiates, saves and loads, compiles to TorchScript, feeds batches and shares memory with numpy, without /dev/shm."""

import ctypes
import io
import os
import platform
import subprocess
import sys
import time

import numpy
import torch

assert torch.__version__ == "1.7.0a0", torch.__version__  # as Debian's 1.7.1 calls itself
assert platform.machine() == "x86_64", platform.machine()
assert not torch.cuda.is_available()
assert torch.backends.mkldnn.is_available() and torch.backends.openmp.is_available()

# Linear algebra: a system with a known solution, in ATLAS's LAPACK.
system = torch.eye(12, dtype=torch.float64) * 2 - torch.diag(torch.ones(11, dtype=torch.float64), 1)
wanted = torch.arange(12, dtype=torch.float64)
assert torch.allclose(torch.solve((system @ wanted)[:, None], system)[0][:, 0], wanted)
assert torch.allclose(torch.svd(torch.diag(torch.tensor([3.0, 2.0, 1.0])))[1], torch.tensor([3.0, 2.0, 1.0]))

# Functions whose versions were lowered to what Amazon Linux 2 has, over enough values for the vector loops and for their ends.
values = torch.linspace(0.5, 4, 1003, dtype=torch.float64)
for name in ("exp", "exp2", "log", "log2", "sqrt", "sinh", "lgamma", "erf"):
    function = getattr(torch, name, None)
    if function is not None and hasattr(numpy, name):
        assert numpy.allclose(function(values).numpy(), getattr(numpy, name)(values.numpy()), rtol=1e-13), name
        assert numpy.allclose(function(values.float()).numpy(), getattr(numpy, name)(values.numpy()), rtol=1e-5, atol=1e-6), name
assert numpy.allclose(values.pow(2.5).numpy(), values.numpy() ** 2.5, rtol=1e-13)

# A convolution that adds up nine ones, with oneDNN and without it.
ones = torch.nn.Conv2d(1, 1, 3, bias=False)
torch.nn.init.ones_(ones.weight)
assert torch.equal(ones(torch.ones(1, 1, 5, 5)), torch.full((1, 1, 3, 3), 9.0))
picture = torch.rand(4, 16, 33, 31)
wide = torch.nn.Conv2d(16, 32, 3, padding=1)
with torch.no_grad():
    fast = wide(picture)
    with torch.backends.mkldnn.flags(enabled=False):
        assert torch.allclose(wide(picture), fast, atol=1e-5)

# A net, and the way of its weights through a file.
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


# Functions that name torch itself cannot be compiled by this build (pytorch issue 51379: its pybind11 is newer than it knew of).
@torch.jit.script
def total(values, limit: int):
    found = values[0]
    for index in range(1, limit):
        found = found + values[index]
    return found


assert total(torch.arange(5.0), 4).item() == 6.0

# Batches in this process: workers would want /dev/shm, which Lambda does not have.
batches = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(torch.arange(10)), batch_size=4, num_workers=0)
assert [len(batch[0]) for batch in batches] == [4, 4, 2]

shared = numpy.zeros(3, dtype=numpy.float32)
torch.from_numpy(shared)[1] = 5
assert shared.tolist() == [0, 5, 0]

# The stand-in's own two functions: a wait with the clock that never jumps lasts as long as it should, and fcntl answers.
stand_in = ctypes.CDLL("libnil.so", use_errno=True)


class Time(ctypes.Structure):
    _fields_ = [("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long)]


def wait(clock, seconds):
    condition, mutex = ctypes.create_string_buffer(48), ctypes.create_string_buffer(40)
    until = time.clock_gettime_ns(clock) + int(seconds * 1e9)
    start = time.monotonic()
    pthread.pthread_mutex_lock(mutex)
    result = stand_in.pthread_cond_clockwt26(condition, mutex, clock, ctypes.byref(Time(until // 10**9, until % 10**9)))
    pthread.pthread_mutex_unlock(mutex)
    return result, time.monotonic() - start


pthread = ctypes.CDLL("libpthread.so.0")
for clock in (time.CLOCK_MONOTONIC, time.CLOCK_REALTIME):
    result, lasted = wait(clock, 0.2)
    assert result == 110 and 0.15 < lasted < 5, (result, lasted)  # ETIMEDOUT
assert wait(time.CLOCK_MONOTONIC, -1)[0] == 110
with open(__file__, "rb") as own:
    assert stand_in.fcntl26(own.fileno(), 3, 0) & 3 == 0  # F_GETFL, read only
    assert stand_in.fcntl26(-1, 3, 0) == -1 and ctypes.get_errno() == 9  # EBADF

# What is absent says so by name.
call = "import ctypes; ctypes.CDLL('libnil.so')._ZN2cv3MatC1Ev()"
told = subprocess.run([sys.executable, "-c", call], stderr=subprocess.PIPE, text=True)
assert told.returncode == -6 and "_ZN2cv3MatC1Ev is of a library that this layer left out" in told.stderr, told
# Derivatives: of x**3 at 1, 2, 3. A process that made derivatives is not to end by itself: with Python 3.9, this torch's threads for them
# end it by SIGABRT, or never (pytorch issues 38230 and 47776). Functions on Lambda do not end.
x = torch.tensor([1.0, 2.0, 3.0], requires_grad=True)
(x**3).sum().backward()
assert x.grad.tolist() == [3.0, 12.0, 27.0]
print("tensors agree", flush=True)
os._exit(0)
