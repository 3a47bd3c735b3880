"""Sampling: cohorts, and the schemes that draw them."""
