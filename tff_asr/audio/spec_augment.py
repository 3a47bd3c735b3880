"""SpecAugment: masks bands and time spans of the features in training.

Park et al. (2019, arXiv 1904.08779), without time warping.  Pelikan et al.
(2025, arXiv 2310.00098) mask 2 bands with a width of up to 30, and 10 time
spans of up to 50 frames and at most a tenth of the utterance.
"""

import dataclasses

import tensorflow as tf


@dataclasses.dataclass(frozen=True)
class SpecAugment:
  """Number and size of the masks.

  Attributes:
    bands: Number of masked bands.
    band_width: Greatest width of a masked band, in feature bands.
    spans: Number of masked time spans.
    span_frames: Greatest length of a time span in frames.
    span_fraction: Greatest length of a time span relative to the utterance.
  """

  bands: int = 2
  band_width: int = 30
  spans: int = 10
  span_frames: int = 50
  span_fraction: float = 0.1


def mask(
  config: SpecAugment,
  lengths: tf.Tensor,
  frames: tf.Tensor,
  channels: int,
  seed: tf.Tensor,
) -> tf.Tensor:
  """Returns random masks, drawn separately for every utterance.

  Args:
    config: Number and size of the masks.
    lengths: int32 `[batch]`, number of frames of each utterance.
    frames: Number of frames of the padded batch.
    channels: Number of feature bands.
    seed: int32 `[2]`, seed of the masks.

  Returns:
    float32 `[batch, frames, channels]`, 0 where a feature is masked, else 1.
  """
  spans, bands = masks(config, lengths, frames, channels, seed)
  return spans[:, :, None] * bands[:, None, :]


def masks(
  config: SpecAugment,
  lengths: tf.Tensor,
  frames: tf.Tensor,
  channels: int,
  seed: tf.Tensor,
) -> tuple[tf.Tensor, tf.Tensor]:
  """Returns the two factors of `mask`, for the same arguments.

  Returns:
    float32 `[batch, frames]`, 0 inside masked time spans, else 1; float32
    `[batch, channels]`, 0 inside masked bands, else 1.
  """
  batch = tf.shape(lengths)[0]
  longest_span = tf.minimum(
    float(config.span_frames),
    config.span_fraction * tf.cast(lengths, tf.float32),
  )
  bands = _outside(
    config.bands,
    tf.fill([batch], float(config.band_width)),
    tf.fill([batch], channels),
    tf.range(channels),
    seed,
  )
  spans = _outside(
    config.spans, longest_span, lengths, tf.range(frames), seed + 1
  )
  return spans, bands


def _outside(number, greatest, extent, positions, seed):
  """Returns 1 outside `number` random intervals of each row, and 0 inside.

  The widths are uniform on 0 .. `greatest`, and the intervals are completely
  within `extent`.

  Returns:
    float32 `[batch, positions]`.
  """
  shape = [2, tf.shape(extent)[0], number]
  uniform = tf.random.stateless_uniform(shape, seed, alg='philox')
  width = tf.floor(uniform[0] * (tf.floor(greatest)[:, None] + 1.0))
  room = tf.cast(extent[:, None], tf.float32) - width
  start = tf.floor(uniform[1] * (tf.maximum(room, 0.0) + 1.0))
  at = tf.cast(positions, tf.float32)[None, None, :]
  start, end = start[..., None], (start + width)[..., None]
  inside = tf.reduce_any((at >= start) & (at < end), axis=1)
  return 1.0 - tf.cast(inside, tf.float32)
