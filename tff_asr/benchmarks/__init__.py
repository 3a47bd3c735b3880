"""Measures speed and memory."""
