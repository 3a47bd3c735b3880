"""Optimizers, as `tff.learning.optimizers.Optimizer`, and their schedules."""
