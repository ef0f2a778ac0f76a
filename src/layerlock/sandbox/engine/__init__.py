"""Sandboxes inside of containers: what a docker engine is told, sent and asked for."""
