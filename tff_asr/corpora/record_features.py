"""Log-mel features of stored records, in a TensorFlow graph."""

import tensorflow as tf

from tff_asr import tracing
from tff_asr.audio import features


@tracing.unconverted
def num_frames(records: dict[str, tf.Tensor]) -> tf.Tensor:
  """Returns the numbers of feature frames of records.

  Args:
    records: string `[records]` each, named as in `client_store.RECORD_SPECS`.

  Returns:
    int32 `[records]`.
  """
  if 'features' in records:
    size = features.MEL_BANDS * tf.float32.size
    return tf.strings.length(records['features']) // size
  return features.num_frames(
    tf.strings.length(records['audio']) // tf.int16.size
  )


@tracing.unconverted
def log_mel(records: dict[str, tf.Tensor]) -> tf.Tensor:
  """Returns the features of records, concatenated.

  Args:
    records: string `[records]` each, named as in `client_store.RECORD_SPECS`.

  Returns:
    float32 `[frames of all records, 80]`.
  """
  if 'features' in records:
    stored = tf.io.decode_raw(
      tf.strings.reduce_join(records['features']), tf.float32
    )
    return tf.reshape(stored, [-1, features.MEL_BANDS])
  # Zeros fill every record up to whole hops: all windows lie on one grid.
  hop_bytes = features.HOP * tf.int16.size
  filling = -tf.strings.length(records['audio']) % hop_bytes
  filled = tf.strings.join(
    [
      records['audio'],
      tf.strings.substr(bytes(hop_bytes), tf.zeros_like(filling), filling),
    ]
  )
  starts = tf.cumsum(tf.strings.length(filled) // hop_bytes, exclusive=True)
  pcm = tf.io.decode_raw(tf.strings.reduce_join(filled), tf.int16)
  frames = features.log_mel_in_chunks(features.waveform_of(pcm))
  # Other windows start in one record and end in the next.
  inside = tf.ragged.range(starts, starts + num_frames(records)).flat_values
  return tf.gather(frames, inside)
