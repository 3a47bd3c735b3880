"""Chunks of WAV files inside a graph, by the rules of `tff_asr.audio.chunks`.

All files of a batch take a step at a time: what a step costs hardly depends on
their number.
"""

from collections.abc import Sequence
from typing import NamedTuple

import tensorflow as tf

from tff_asr.audio import chunks

MAX_CHUNKS = 64  # Before the samples, and behind them.
_HEADER = 12
_CHUNK = 8
_WORDS = 3  # Of 4 bytes: name, size, and the first of the contents.


class Found(NamedTuple):
  """Where chunks of files are, int64 `[files]` each, -1 if nowhere.

  Attributes:
    form: The one with the format.
    data: The one with the samples.
    is_in_parts: bool, whether the samples are in a list of chunks.
    is_long: bool, whether more chunks came first than are looked at.
  """

  form: tf.Tensor
  data: tf.Tensor
  is_in_parts: tf.Tensor
  is_long: tf.Tensor


class Files:
  """Reads files in chunks; what is read behind the end of a file is zero.

  Attributes:
    size: Of the files in bytes, int64 `[files]`.
  """

  def __init__(self, contents: tf.Tensor):
    """Takes the files, string `[files]`."""
    self._contents = contents
    self.size = tf.cast(tf.strings.length(contents), tf.int64)

  def number(self, at: tf.Tensor, length: int) -> tf.Tensor:
    """Numbers of some bytes, int64 `[files]`.

    Args:
      at: int64 `[files]`, where they begin.
      length: How many bytes, at most 4.
    """
    return self._words(at, 1)[:, 0] % 256**length

  def is_wav(self) -> tf.Tensor:
    """Whether files begin as WAV files, bool `[files]`."""
    words = self._words(tf.zeros_like(self.size), _WORDS)
    return _is_one_of(words[:, 0], [b'RIFF']) & _is_one_of(
      words[:, 2], [b'WAVE']
    )

  def find(self) -> Found:
    """Finds the first format before the samples, and the samples."""
    nowhere = tf.fill(tf.shape(self.size), tf.constant(-1, tf.int64))

    def is_on(at, data, is_in_parts):
      return (data < 0) & ~is_in_parts & (at + _CHUNK <= self.size)

    def step(at, form, data, is_in_parts):
      is_read = is_on(at, data, is_in_parts)
      name, size, first = tf.unstack(self._words(at, _WORDS), axis=1)
      is_format = is_read & (form < 0) & _is_one_of(name, [b'fmt '])
      is_data = is_read & _is_one_of(name, [b'data'])
      is_list = _is_one_of(name, [b'LIST']) & _is_one_of(first, [b'wavl'])
      return (
        tf.where(is_read & ~is_data, self._after(at, size), at),
        tf.where(is_format, at, form),
        tf.where(is_data, at, data),
        is_in_parts | (is_read & is_list),
      )

    at, form, data, is_in_parts = tf.while_loop(
      lambda at, form, data, parts: tf.reduce_any(is_on(at, data, parts)),
      step,
      (
        tf.fill(tf.shape(self.size), tf.constant(_HEADER, tf.int64)),
        nowhere,
        nowhere,
        tf.zeros_like(self.size, tf.bool),
      ),
      maximum_iterations=MAX_CHUNKS,
      parallel_iterations=1,
    )
    return Found(form, data, is_in_parts, is_on(at, data, is_in_parts))

  def is_metadata(self, at: tf.Tensor, is_asked: tf.Tensor) -> tf.Tensor:
    """Whether only chunks without sound follow, tags, zeros, or nothing.

    Args:
      at: int64 `[files]`, from where on.
      is_asked: bool `[files]`, what is not is answered with no.
    """

    def step(at, is_on, is_it):
      name, size = tf.unstack(self._words(at, 2), axis=1)
      is_end = at >= self.size
      is_tag = _is_one_of(name % 256**3, [b'TAG', b'ID3']) | _is_one_of(
        name, [b'APET']
      )
      printable = tf.reduce_all(
        [(c >= 0x20) & (c < 0x7F) for c in _characters(name)], axis=0
      )
      is_known = _is_one_of(name, chunks.METADATA)
      is_other = ~_is_one_of(name, chunks.MORE_SOUND) & (
        at + _CHUNK + size <= self.size
      )
      goes_on = is_on & ~is_end & ~is_tag & printable & (is_known | is_other)
      is_zeros = self._are_zeros(at, is_on & ~is_end & ~is_tag & ~printable)
      is_it |= is_on & (is_end | is_tag | is_zeros)
      return tf.where(goes_on, self._after(at, size), at), goes_on, is_it

    return tf.while_loop(
      lambda at, is_on, is_it: tf.reduce_any(is_on),
      step,
      (at, is_asked, tf.zeros_like(is_asked)),
      maximum_iterations=MAX_CHUNKS,
      parallel_iterations=1,
    )[2]

  def _after(self, at, size):
    """Where the next chunk begins."""
    end = at + _CHUNK + size
    is_odd = tf.equal(size % 2, 1)
    is_next = _is_one_of(self._words(end, 1)[:, 0], chunks.OF_WAV)
    return tf.where(is_odd & ~is_next, end + 1, end)

  def _are_zeros(self, at, is_asked):
    """Whether there are only zeros from a place on."""
    start = tf.where(is_asked, tf.minimum(at, self.size), self.size)
    rest = tf.strings.substr(self._contents, start, self.size - start)
    return is_asked & tf.strings.regex_full_match(rest, r'\x00*')

  def _words(self, at, count):
    """Numbers of 4 bytes each, int64 `[files, count]`."""
    start = tf.clip_by_value(at, 0, self.size)
    length = tf.fill(tf.shape(start), tf.constant(4 * count, tf.int64))
    text = tf.strings.substr(self._contents, start, length)
    digits = tf.io.decode_raw(text, tf.uint8, fixed_length=4 * count)
    places = tf.constant([256**i for i in range(4)], tf.int64)
    parts = tf.reshape(tf.cast(digits, tf.int64), [-1, count, 4])
    return tf.reduce_sum(parts * places, axis=2)


def _is_one_of(words: tf.Tensor, names: Sequence[bytes]) -> tf.Tensor:
  """Whether numbers, int64 `[files]`, are those of names."""
  numbers = [int.from_bytes(name, 'little') for name in names]
  return tf.reduce_any(
    tf.equal(words[:, None], tf.constant(numbers, tf.int64)), axis=1
  )


def _characters(words: tf.Tensor) -> list[tf.Tensor]:
  return [words // 256**i % 256 for i in range(4)]
