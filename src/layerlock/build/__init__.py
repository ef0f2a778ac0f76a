"""Realising derivations: one, and many side by side."""
