"""Optimizers for `tff.learning` and schedules of their learning rates."""

from tff_asr.optimizers.gradient_clipping import build_gradient_clipping
from tff_asr.optimizers.lamb import build_lamb
from tff_asr.optimizers.lars import build_lars

__all__ = ['build_gradient_clipping', 'build_lamb', 'build_lars']
