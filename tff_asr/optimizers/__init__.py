"""Optimizers for `tff.learning` and schedules of their learning rates."""
