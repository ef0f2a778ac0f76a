"""What is in a layer, where it came from, whether that still holds, and whether it may ship: a table of checks."""
