"""The local, immutable, content-verified keep of sources and outputs."""
