"""Chunks of WAV files inside a graph, by the rules of `tff_asr.audio.chunks`.

Each step reads one chunk of every file of the batch, because the cost of a step
hardly depends on the number of files.
"""

from collections.abc import Sequence
from typing import NamedTuple

import tensorflow as tf

from tff_asr.audio import chunks

MAX_CHUNKS = 64  # Most chunks before the samples, and after them.
_HEADER = 12
_CHUNK = 8
_WORDS = 3  # Words of 4 bytes: name, size and the start of the contents.
_NAMES = (*chunks.METADATA, *chunks.TAGS)
_UP_TO_LAST_NAME = rf'(?s)^\C*(?:{b"|".join(_NAMES).decode()})'


class Found(NamedTuple):
  """Positions of chunks, int64 `[files]` each, -1 if a file lacks the chunk.

  Attributes:
    form: Position of the chunk with the format.
    data: Position of the chunk with the samples.
    is_in_parts: bool, whether the samples are in a list of chunks.
    is_long: bool, whether more than `MAX_CHUNKS` chunks precede the samples.
  """

  form: tf.Tensor
  data: tf.Tensor
  is_in_parts: tf.Tensor
  is_long: tf.Tensor


class Rest(NamedTuple):
  """Kinds of bytes between a position and the end, bool `[files]` each.

  Attributes:
    is_metadata: Whether the bytes are only chunks without sound, tags and
      zeros, or nothing.
    is_damage: Whether the bytes have a chunk with sound, a chunk that lacks
      many bytes, or more than `MAX_CHUNKS` chunks.
  """

  is_metadata: tf.Tensor
  is_damage: tf.Tensor


class Files:
  """A batch of files in chunks; bytes after the end of a file read as zero.

  Attributes:
    size: Sizes of the files in bytes, int64 `[files]`.
  """

  def __init__(self, contents: tf.Tensor):
    """Creates the batch from the contents of files, string `[files]`."""
    self._contents = contents
    self.size = tf.cast(tf.strings.length(contents), tf.int64)

  def number(self, at: tf.Tensor, length: int) -> tf.Tensor:
    """Reads a little-endian number from each file, int64 `[files]`.

    Args:
      at: int64 `[files]`, positions of the first bytes.
      length: Number of bytes, at most 4.
    """
    return self._words(at, 1)[:, 0] % 256**length

  def is_wav(self) -> tf.Tensor:
    """Returns whether files begin like WAV files, bool `[files]`."""
    words = self._words(tf.zeros_like(self.size), _WORDS)
    return _is_one_of(words[:, 0], [b'RIFF']) & _is_one_of(
      words[:, 2], [b'WAVE']
    )

  def find(self) -> Found:
    """Finds the samples, and the first format before the samples."""
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

  def rest(self, at: tf.Tensor, is_asked: tf.Tensor) -> Rest:
    """Returns the kind of bytes after a position, as `chunks.rest` does.

    The known tags of music players are ID3, and APE with a header; other tags
    are unknown.

    Args:
      at: int64 `[files]`, the positions.
      is_asked: bool `[files]`; the result of other files is false.
    """

    def step(at, is_on, in_tags, is_metadata, is_damage):
      name, size, first, second = tf.unstack(self._words(at, 4), axis=1)
      is_end = at >= self.size
      is_metadata |= is_on & is_end
      is_on &= ~is_end
      is_known = _is_one_of(name, chunks.METADATA)
      in_tags |= (_is_tag(name) & ~is_known) | ~_is_printable(name)
      tag = self._tag(at, is_on & in_tags)
      missing = at + _CHUNK + size - self.size
      is_cut = missing > 0
      is_list = _is_one_of(name, [b'LIST']) & (
        _is_one_of(first, chunks.MORE_SOUND)
        | _is_one_of(second, chunks.MORE_SOUND)
      )
      holds_sound = self._has_data(at + _CHUNK, is_on & is_known & is_cut)
      holds_sound |= ~is_cut & is_list
      is_far = missing > chunks.MOST_CUT_OFF
      is_bad = _is_one_of(name, chunks.MORE_SOUND)
      is_bad |= is_known & (holds_sound | is_far)
      is_damage |= is_on & ~in_tags & is_bad
      is_tag = (tag > 0) & (at + tag <= self.size)
      is_chunk = ~is_bad & (is_known | ~is_cut)
      goes_on = is_on & tf.where(in_tags, is_tag, is_chunk)
      after = tf.where(in_tags, at + tag, self._after(at, size))
      at = tf.where(goes_on, after, at)
      return at, goes_on, in_tags, is_metadata, is_damage

    nowhere = tf.zeros_like(is_asked)
    _, is_on, _, is_metadata, is_damage = tf.while_loop(
      lambda at, is_on, tags, metadata, damage: tf.reduce_any(is_on),
      step,
      (at, is_asked, nowhere, nowhere, nowhere),
      maximum_iterations=MAX_CHUNKS,
      parallel_iterations=1,
    )
    return Rest(is_metadata, is_damage | is_on)

  def has_metadata_near_end(
    self, start: tf.Tensor, is_asked: tf.Tensor
  ) -> tf.Tensor:
    """Returns whether a file ends in metadata, as `chunks.is_near_end` does.

    Args:
      start: int64 `[files]`, positions of the first samples.
      is_asked: bool `[files]`; the result of other files is false.
    """
    start = tf.clip_by_value(
      tf.maximum(start, self.size - chunks.NEAR_END), 0, self.size
    )

    def step(end, is_on, is_it):
      length = tf.where(is_on, end - start, _int64(0))
      text = tf.strings.substr(self._contents, start, length)
      behind = tf.strings.regex_replace(text, _UP_TO_LAST_NAME, '')
      before = length - tf.cast(tf.strings.length(behind), tf.int64)
      is_on &= before > 0
      # The next search ends within this name, so that it is not found again.
      end = tf.where(is_on, start + before - 1, end)
      at = end + 1 - self._name_length(end + 1)
      is_it |= self.rest(at, is_on).is_metadata
      return end, is_on & ~is_it, is_it

    return tf.while_loop(
      lambda end, is_on, is_it: tf.reduce_any(is_on),
      step,
      (self.size, is_asked, tf.zeros_like(is_asked)),
      maximum_iterations=chunks.MAX_NEAR_END,
      parallel_iterations=1,
    )[2]

  def _name_length(self, end):
    """Returns the length, 3 or 4 bytes, of the name that ends at `end`."""
    name = self.number(end - 4, 4)
    is_long = _is_one_of(name, [n for n in _NAMES if len(n) == 4])
    return tf.where(is_long, _int64(4), _int64(3))

  def _tag(self, at, is_asked):
    """Returns the length in bytes of the tag or the zeros at `at`, or 0."""
    first, second = tf.unstack(self._words(at, 2), axis=1)
    name = first % 256**3
    size = tf.zeros_like(at)
    size = tf.where(_is_one_of(name, [b'TAG']), _int64(128), size)
    size = tf.where(_is_one_of(first, [b'TAG+']), _int64(227), size)
    sevens = [c % 128 for c in _characters(self.number(at + 6, 4))]
    id3 = tf.add_n([c * 128 ** (3 - i) for i, c in enumerate(sevens)])
    id3 += 10 * (1 + self.number(at + 5, 1) // 16 % 2)
    is_id3 = _is_one_of(name, [b'ID3']) & (at + 10 <= self.size)
    size = tf.where(is_id3, id3, size)
    is_ape = _is_one_of(first, [b'APET']) & _is_one_of(second, [b'AGEX'])
    is_ape &= tf.equal(self.number(at + 23, 1) // 32 % 2, 1)
    is_ape &= at + 32 <= self.size
    size = tf.where(is_ape, 32 + self.number(at + 12, 4), size)
    is_zero = is_asked & tf.equal(self.number(at, 1), 0)
    size = tf.where(is_zero, self._zeros(at, is_zero), size)
    return tf.where(is_asked, size, _int64(0))

  def _zeros(self, at, is_asked):
    """Returns the number of zeros that start at `at`."""
    text = self._from(at, is_asked)
    rest = tf.strings.regex_replace(text, r'^\x00+', '')
    length = tf.strings.length(text) - tf.strings.length(rest)
    return tf.cast(length, tf.int64)

  def _has_data(self, at, is_asked):
    """Returns whether the name of a chunk with samples follows after `at`."""
    return tf.strings.regex_full_match(
      self._from(at, is_asked), r'(?s)\C*data\C*'
    )

  def _from(self, at, is_asked):
    """Returns the bytes of files after `at`; nothing where not `is_asked`."""
    start = tf.where(is_asked, tf.clip_by_value(at, 0, self.size), self.size)
    return tf.strings.substr(self._contents, start, self.size - start)

  def _after(self, at, size):
    """Returns the position of the next chunk."""
    end = at + _CHUNK + size
    is_odd = tf.equal(size % 2, 1)
    is_next = _is_one_of(self._words(end, 1)[:, 0], chunks.OF_WAV)
    return tf.where(is_odd & ~is_next, end + 1, end)

  def _words(self, at, count):
    """Reads `count` numbers of 4 bytes each, int64 `[files, count]`."""
    start = tf.clip_by_value(at, 0, self.size)
    length = tf.fill(tf.shape(start), tf.constant(4 * count, tf.int64))
    text = tf.strings.substr(self._contents, start, length)
    digits = tf.io.decode_raw(text, tf.uint8, fixed_length=4 * count)
    places = tf.constant([256**i for i in range(4)], tf.int64)
    parts = tf.reshape(tf.cast(digits, tf.int64), [-1, count, 4])
    return tf.reduce_sum(parts * places, axis=2)


def _is_one_of(words: tf.Tensor, names: Sequence[bytes]) -> tf.Tensor:
  """Returns whether numbers, int64 `[files]`, encode one of the names."""
  numbers = [int.from_bytes(name, 'little') for name in names]
  return tf.reduce_any(
    tf.equal(words[:, None], tf.constant(numbers, tf.int64)), axis=1
  )


def _int64(value: int) -> tf.Tensor:
  return tf.constant(value, tf.int64)


def _is_tag(name: tf.Tensor) -> tf.Tensor:
  """Returns whether names, int64 `[files]`, begin a tag of music players."""
  short = [tag for tag in chunks.TAGS if len(tag) == 3]
  long = [tag for tag in chunks.TAGS if len(tag) == 4]
  return _is_one_of(name % 256**3, short) | _is_one_of(name, long)


def _is_printable(name: tf.Tensor) -> tf.Tensor:
  return tf.reduce_all(
    [(c >= 0x20) & (c < 0x7F) for c in _characters(name)], axis=0
  )


def _characters(words: tf.Tensor) -> list[tf.Tensor]:
  return [words // 256**i % 256 for i in range(4)]
