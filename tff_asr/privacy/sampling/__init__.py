"""Sampling: cohorts, and schemes by which they are drawn."""
