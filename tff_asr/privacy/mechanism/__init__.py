"""Mechanism: clipping, noise and their aggregation."""
