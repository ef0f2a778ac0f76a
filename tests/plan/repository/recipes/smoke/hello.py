"""A smoke test."""
