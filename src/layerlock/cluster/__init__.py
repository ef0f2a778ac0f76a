"""One plan on many machines, on Dask distributed: workers that build, and the submitting side that judges."""
