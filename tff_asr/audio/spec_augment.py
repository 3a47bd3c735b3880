"""SpecAugment: bands and spans of the features are blanked in training.

Park et al. (2019, arXiv 1904.08779) without time warping; Pelikan et al. (2025,
arXiv 2310.00098) take 2 bands of up to 30 and 10 spans of up to 50 frames, none
longer than a tenth of the utterance.
"""

import dataclasses

import tensorflow as tf


@dataclasses.dataclass(frozen=True)
class SpecAugment:
  """How much is blanked.

  Attributes:
    bands: Number of blanked bands.
    band_width: Greatest width of a band.
    spans: Number of blanked spans of time.
    span_frames: Greatest length of a span in frames.
    span_fraction: Greatest length of a span relative to the utterance.
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
  """Draws what is blanked, for every utterance on its own.

  Args:
    config: How much is blanked.
    lengths: int32 `[batch]`, frames of each utterance.
    frames: Frames of the padded batch.
    channels: Feature bands.
    seed: int32 `[2]`; decides what is blanked.

  Returns:
    float32 `[batch, frames, channels]`, 0 on what is blanked, else 1.
  """
  batch = tf.shape(lengths)[0]
  longest_span = tf.minimum(
    float(config.span_frames),
    config.span_fraction * tf.cast(lengths, tf.float32),
  )
  band = _outside(
    config.bands,
    tf.fill([batch], float(config.band_width)),
    tf.fill([batch], channels),
    tf.range(channels),
    seed,
  )
  span = _outside(
    config.spans, longest_span, lengths, tf.range(frames), seed + 1
  )
  return span[:, :, None] * band[:, None, :]


def _outside(number, greatest, extent, positions, seed):
  """1 outside `number` random intervals of each row: `[batch, positions]`.

  Widths are uniform on 0 .. `greatest` and lie wholly within `extent`.
  """
  shape = [2, tf.shape(extent)[0], number]
  chance = tf.random.stateless_uniform(shape, seed, alg='philox')
  width = tf.floor(chance[0] * (tf.floor(greatest)[:, None] + 1.0))
  room = tf.cast(extent[:, None], tf.float32) - width
  start = tf.floor(chance[1] * (tf.maximum(room, 0.0) + 1.0))
  at = tf.cast(positions, tf.float32)[None, None, :]
  start, end = start[..., None], (start + width)[..., None]
  inside = tf.reduce_any((at >= start) & (at < end), axis=1)
  return 1.0 - tf.cast(inside, tf.float32)
