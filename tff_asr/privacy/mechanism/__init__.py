"""Mechanism: clipping of updates, aggregation, and noise."""
