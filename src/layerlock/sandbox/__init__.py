"""Hermetic containers: what a build may see, and the programs that enforce it."""
