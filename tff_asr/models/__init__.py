"""Models: transformer encoder, CTC loss and decoding, presets."""

from tff_asr.models.encoder import Encoder, EncoderConfig
from tff_asr.models.kinds import register as register_kind
from tff_asr.models.layers import (
  GatedConvolution,
  Layer,
  Output,
  UtteranceNormalization,
)
from tff_asr.models.presets import register as register_preset

__all__ = [
  'Encoder',
  'EncoderConfig',
  'GatedConvolution',
  'Layer',
  'Output',
  'UtteranceNormalization',
  'register_kind',
  'register_preset',
]
