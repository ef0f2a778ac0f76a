"""Displays: listeners that show events to people and programs."""
