"""Privacy: the plan, per-layer clipping and noise, accounting."""
