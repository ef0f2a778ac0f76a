"""numpy and scipy work with the layer's BLAS and LAPACK, and with no other: results that can be checked by hand come out.

Argument: a file with `module: version` lines.
"""

import ctypes
import re
import sys

import numpy
import numpy.__config__
import scipy
import scipy.__config__
import scipy.fft
import scipy.linalg
import scipy.ndimage
import scipy.optimize
import scipy.signal
import scipy.sparse.linalg
import scipy.special
import scipy.stats

with open(sys.argv[1], encoding="utf-8") as file:
    versions = dict(line.strip().split(": ") for line in file)
for package in (numpy, scipy):
    assert package.__version__ == versions[package.__name__], package.__version__
    package.__config__.show()

# One BLAS, the layer's own: numpy and scipy name it libblas and liblapack, whichever it is.
with open("/proc/self/maps", encoding="utf-8") as file:
    loaded = {line.split()[-1] for line in file if re.search(r"/lib[^/]*(?:blas|lapack|atlas)[^/]*\.so", line)}
assert loaded and all(name.startswith("/opt/lib/") for name in loaded), loaded
assert len({name for name in loaded if "blas" in name}) == 1, loaded
library = ctypes.CDLL("libblas.so.3")
if hasattr(library, "openblas_get_config"):
    library.openblas_get_config.restype = ctypes.c_char_p
    said = library.openblas_get_config().decode()
    assert "HASWELL" in said and "DYNAMIC_ARCH" not in said, said
    assert len(loaded) == 1, loaded
    print(said)
else:
    assert any("atlas" in name for name in loaded), loaded
    print("ATLAS")

# The Hilbert matrix of order 5 has the determinant 1 / 266716800000, and an inverse of whole numbers.
hilbert = scipy.linalg.hilbert(5)
assert numpy.isclose(numpy.linalg.det(hilbert), 1 / 266_716_800_000, rtol=1e-8)
assert numpy.allclose(numpy.linalg.inv(hilbert), scipy.linalg.invhilbert(5), rtol=1e-8)

# A = L Lᵀ with a whole-numbered L.
lower = numpy.array([[2.0, 0, 0], [6, 1, 0], [-8, 5, 3]])
matrix = lower @ lower.T
assert numpy.array_equal(matrix, [[4, 12, -16], [12, 37, -43], [-16, -43, 98]])
assert numpy.allclose(numpy.linalg.cholesky(matrix), lower)
permutation, unit_lower, upper = scipy.linalg.lu(matrix)
assert numpy.allclose(permutation @ unit_lower @ upper, matrix)
left, values, right = numpy.linalg.svd(matrix)
assert numpy.allclose(left * values @ right, matrix)
assert numpy.allclose(numpy.prod(values), numpy.linalg.det(lower) ** 2)
orthogonal, triangular = scipy.linalg.qr(matrix.astype(numpy.float32))
assert numpy.allclose(orthogonal @ triangular, matrix, atol=1e-3)
spectrum, vectors = scipy.linalg.eigh(matrix.astype(complex))
assert numpy.allclose(vectors * spectrum @ vectors.conj().T, matrix)

# Fortran, C++ and pythran code of scipy.
assert numpy.isclose(scipy.special.gamma(0.5) ** 2, numpy.pi)
assert numpy.isclose(scipy.stats.norm.cdf(1.959963984540054), 0.975)
minimum = scipy.optimize.minimize(scipy.optimize.rosen, numpy.zeros(4), method="L-BFGS-B").x
assert numpy.allclose(minimum, 1, atol=1e-3)
signal = numpy.sin(numpy.arange(64) * 0.7) + 2
assert numpy.allclose(scipy.fft.ifft(scipy.fft.fft(signal)).real, signal)
assert numpy.allclose(scipy.signal.fftconvolve(signal, [1, 2, 1]), numpy.convolve(signal, [1, 2, 1]))
assert scipy.ndimage.label(numpy.eye(5))[1] == 5
laplacian = scipy.sparse.diags([-1, 2, -1], [-1, 0, 1], shape=(50, 50), format="csc")
solution = scipy.sparse.linalg.spsolve(laplacian, numpy.ones(50))
assert numpy.allclose(laplacian @ solution, 1)
largest = scipy.sparse.linalg.eigsh(laplacian, k=1, return_eigenvectors=False)[0]
assert numpy.isclose(largest, 2 + 2 * numpy.cos(numpy.pi / 51))
print("linear algebra, special functions, statistics, optimisation, signals and sparse matrices agree")
