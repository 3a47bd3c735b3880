"""Optimizers, as `tff.learning.optimizers.Optimizer`."""
