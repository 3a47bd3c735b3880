"""Metrics of rounds in the format of TensorBoard."""

import numpy as np
import tensorflow as tf

from tff_asr import compat


class TensorBoard(compat.TensorBoardReleaseManager):
  """TFF's manager, for runs of many rounds.

  TensorFlow keeps a tensor for every Python number that it is given, until the
  process ends; for numbers of NumPy it does not.
  """

  async def release(self, value, key):
    """See base class."""
    await super().release(
      tf.nest.map_structure(np.float32, value), np.int64(key)
    )
