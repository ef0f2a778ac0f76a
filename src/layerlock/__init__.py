"""Reproducible AWS Lambda layers from pinned recipes."""

__version__ = "0.1.0"
