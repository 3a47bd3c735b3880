"""Learning: client update, federated process, central training, evaluation."""

from tff_asr.learning.private_process import build_private_fed_avg, no_metrics

__all__ = ['build_private_fed_avg', 'no_metrics']
