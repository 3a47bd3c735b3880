"""What is served: from sound to text, in plain TensorFlow operations.

Whatever one utterance of a batch is, the others are transcribed, and the
process goes on: what cannot be used has an empty text and an `error`.
"""

from collections.abc import Callable
import math

import tensorflow as tf

from tff_asr.audio import features
from tff_asr.models.encoder import Encoder
from tff_asr.serving import greedy, wav
from tff_asr.text import vocabulary as vocabulary_lib

MAX_SECONDS = 60.0
_MAX_BATCH = 16  # Utterances of the greatest length.
_MAX_UTTERANCES = 1_000
_LIKE = 1.4  # Lengths up to this ratio are padded to the same.
_WAVEFORM = (
  tf.TensorSpec([None, None], tf.float32, 'waveform'),
  tf.TensorSpec([None], tf.int32, 'lengths'),
)
_WAV = (tf.TensorSpec([None], tf.string, 'wav'),)


class Transcriber(tf.Module):
  """An encoder with its features before it and its decoders behind it.

  Attributes:
    functions: Functions by name, as a server offers them.
      `serving_default`: of `waveform` (float32 `[batch, samples]`, 16 kHz, in
        [-1, 1]) and `lengths` (int32 `[batch]`, in samples) the results of
        `_results`.
      `wav`: of `wav` (string `[batch]`, files of 16-bit PCM) the same.
      `logits`: of `waveform` and `lengths` the `logits` (float32 `[batch,
        frames, vocabulary]`), their `logit_lengths` (int32 `[batch]`) and
        `error` (string `[batch]`).
      `beam`: of `waveform` and `lengths` the `text` of a prefix beam search
        without a language model, its `log_probability` and `error`; absent if
        `beam` is 0.
  """

  def __init__(
    self,
    encoder: Encoder,
    vocabulary: vocabulary_lib.Vocabulary,
    beam: int = 16,
    max_seconds: float = MAX_SECONDS,
  ):
    """Traces the functions.

    Args:
      encoder: The model.
      vocabulary: Of its outputs.
      beam: Width of the beam search.
      max_seconds: Longer utterances are refused: the memory that attention
        takes grows with the square of an utterance's length.
    """
    super().__init__()
    self._weights = list(encoder.variables)  # What is saved with functions.
    self._encoder = encoder.call
    self._config = encoder.config
    # One function that the others call, so that a graph has it once.
    self._forward = tf.function(self._logits, input_signature=_WAVEFORM)
    self._pieces = tf.constant(vocabulary.pieces)
    self._beam = beam
    self._max_seconds = max_seconds
    methods = {
      'serving_default': (self._transcribe, _WAVEFORM),
      'wav': (self._transcribe_wav, _WAV),
      'logits': (self._logits_of, _WAVEFORM),
    }
    if beam:
      methods['beam'] = (self._search, _WAVEFORM)
    self.functions = {
      name: _signature(function, specs)
      for name, (function, specs) in methods.items()
    }

  def _transcribe(self, waveform, lengths):
    logits, frames, error = self._forward(waveform, lengths)
    return self._results(greedy.hear(logits, frames), error)

  def _transcribe_wav(self, wav_files):
    with tf.control_dependencies([_check_count(wav_files)]):
      wav_files = tf.identity(wav_files)
    headers = wav.headers(wav_files, self._max_seconds)
    with tf.control_dependencies([self._check_size(headers.samples)]):
      frames = self._output_frames(headers.samples)
    rows = tf.where(frames > 0)[:, 0]
    sounds = wav.decode(
      tf.gather(wav_files, rows),
      wav.Headers(*(tf.gather(values, rows) for values in headers)),
    )
    length = tf.math.log(tf.cast(tf.gather(frames, rows), tf.float32))

    def hear(places):
      some = tf.gather(sounds, places)
      lengths = tf.cast(some.row_lengths(), tf.int32)
      logits, frames, _ = self._forward(some.to_tensor(), lengths)
      return greedy.hear(logits, frames)

    return self._results(
      greedy.in_groups(
        tf.cast(length / math.log(_LIKE), tf.int32),
        hear,
        rows,
        tf.size(wav_files),
      ),
      headers.error,
    )

  def _logits_of(self, waveform, lengths):
    logits, frames, error = self._forward(waveform, lengths)
    return {'logits': logits, 'logit_lengths': frames, 'error': error}

  def _search(self, waveform, lengths):
    logits, frames, error = self._forward(waveform, lengths)
    found, scores = tf.nn.ctc_beam_search_decoder(
      # This decoder has the blank last.
      tf.roll(tf.transpose(logits, [1, 0, 2]), -1, axis=2),
      frames,
      beam_width=self._beam,
      top_paths=1,
    )
    tokens = tf.sparse.to_dense(found[0], default_value=-1)
    ragged = tf.RaggedTensor.from_tensor(tokens, padding=-1)
    return {
      'text': self._text(tf.cast(ragged, tf.int32) + 1),
      'log_probability': scores[:, 0],
      'error': error,
    }

  def _logits(self, waveform, lengths):
    """Logits `[batch, frames, vocabulary]`, their lengths, and errors."""
    batch, samples = tf.unstack(tf.shape(waveform))
    checks = [
      _check_count(waveform),
      tf.debugging.assert_equal(
        tf.size(lengths), batch, 'There must be a length for each waveform'
      ),
    ]
    with tf.control_dependencies(checks):
      lengths = tf.identity(lengths)
    limit = int(self._max_seconds * features.SAMPLE_RATE)
    error = tf.where(
      (lengths < 0) | (lengths > samples),
      'a length outside of the waveform',
      tf.where(lengths > limit, f'longer than {self._max_seconds:g} s', ''),
    )
    lengths = tf.where(tf.equal(error, b''), lengths, 0)
    with tf.control_dependencies([self._check_size(lengths)]):
      waveform = waveform[:, : tf.reduce_max(lengths)]
    present = tf.sequence_mask(lengths, tf.shape(waveform)[1])
    is_sound = tf.abs(waveform) <= tf.float32.max  # Not so: infinity, NaN.
    are_all = tf.reduce_all(is_sound | ~present, axis=1)
    error = tf.where(are_all, error, 'samples that are no numbers')
    lengths = tf.where(are_all, lengths, 0)
    frames = self._output_frames(lengths)
    # The encoder takes one utterance at least, and none that has no frame.
    is_heard = (frames > 0) | (
      tf.reduce_all(frames <= 0) & tf.equal(tf.range(batch), 0)
    )
    rows = tf.where(is_heard)[:, 0]
    sound = tf.where(present & is_sound, waveform, 0.0)
    sound = tf.gather(sound, rows)[:, : tf.reduce_max(lengths)]
    sound = tf.clip_by_value(sound, -1.0, 1.0)
    log_mel = _log_mel(sound, self._config.stride)
    feature_frames = tf.maximum(features.num_frames(lengths), 0)
    logits = self._encoder(
      log_mel, tf.gather(feature_frames, rows), training=False
    )
    shape = tf.concat([[batch], tf.shape(logits)[1:]], 0)
    return (
      tf.scatter_nd(rows[:, None], logits, tf.cast(shape, tf.int64)),
      frames,
      error,
    )

  def _output_frames(self, samples):
    """Returns the numbers of the encoder's output frames, int32 `[batch]`."""
    frames = tf.maximum(features.num_frames(samples), 0)
    return self._config.output_frames(frames)

  def _check_size(self, lengths):
    """A batch takes memory by its size and its longest utterance."""
    # A shorter utterance is padded to one frame of the output.
    least = self._config.stride * features.HOP
    samples = tf.reduce_max(tf.concat([lengths, [least]], 0))
    size = tf.size(lengths, tf.int64) * tf.cast(samples, tf.int64)
    seconds = _MAX_BATCH * self._max_seconds
    return tf.debugging.assert_less_equal(
      size,
      tf.constant(int(seconds * features.SAMPLE_RATE), tf.int64),
      f'A batch is to have no more than {seconds:g} s, padding included',
    )

  def _results(self, heard, error):
    """What each utterance's most probable tokens are.

    Returns:
      text: string `[batch]`.
      confidence: float32 `[batch]`, the geometric mean of the tokens'; of an
        empty text that of the blanks of all frames; 0 where there are none.
      tokens: string `[batch, tokens]`, their texts, padded with empty ones.
      token_starts, token_ends: float32 `[batch, tokens]`, in seconds, padded
        with -1. CTC sees a token somewhere in the sound, not at its edges.
      token_confidences: float32 `[batch, tokens]`, the greatest probability of
        each token over its frames, padded with -1.
      error: string `[batch]`, empty if there is none.
    """
    tokens = heard.tokens
    seconds = [
      tf.cast(edges, tf.float32) * self._config.frame_seconds
      for edges in (heard.starts, heard.ends)
    ]
    number = tf.cast(tokens.row_lengths(), tf.float32)
    spoken = tf.reduce_sum(heard.log_probabilities, axis=1)
    mean = tf.where(number > 0, spoken / tf.maximum(number, 1.0), heard.blanks)
    return {
      'text': self._text(tokens),
      'confidence': tf.where(heard.frames > 0, tf.exp(mean), 0.0),
      'tokens': tf.gather(self._pieces, tokens).to_tensor(''),
      'token_starts': seconds[0].to_tensor(-1.0),
      'token_ends': seconds[1].to_tensor(-1.0),
      'token_confidences': tf.exp(heard.log_probabilities).to_tensor(-1.0),
      'error': error,
    }

  def _text(self, tokens: tf.RaggedTensor) -> tf.Tensor:
    """Text of tokens, int32 ragged `[batch, (tokens)]`: string `[batch]`."""
    joined = tf.strings.reduce_join(tf.gather(self._pieces, tokens), axis=1)
    return tf.strings.strip(tf.strings.regex_replace(joined, r'\s+', ' '))


def _check_count(utterances: tf.Tensor) -> tf.Operation:
  """Checks that there are utterances, and not too many."""
  batch = tf.shape(utterances)[0]
  some = tf.debugging.assert_positive(batch, 'There is no utterance')
  few = tf.debugging.assert_less_equal(
    batch,
    _MAX_UTTERANCES,
    f'A batch is to have no more than {_MAX_UTTERANCES} utterances',
  )
  return tf.group(some, few)


def _log_mel(waveform: tf.Tensor, least: int) -> tf.Tensor:
  """Features of a batch, float32 `[batch, frames, 80]`.

  Frames of other sounds or of padding may follow an utterance's own frames.

  Args:
    waveform: float32 `[batch, samples]`.
    least: Least number of frames of the result.
  """
  batch = tf.shape(waveform)[0]
  hops = tf.maximum(-(-tf.shape(waveform)[1] // features.HOP), least)
  # As in training, one behind the other on one grid of hops, bit by bit.
  behind = hops * features.HOP - tf.shape(waveform)[1]
  flat = tf.reshape(tf.pad(waveform, [[0, 0], [0, behind]]), [-1])
  log_mel = features.log_mel_in_chunks(flat)
  missing = batch * hops - tf.shape(log_mel)[0]
  filled = tf.pad(log_mel, [[0, missing], [0, 0]])
  return tf.reshape(filled, [batch, hops, features.MEL_BANDS])


def _signature(
  function: Callable, specs: tuple[tf.TensorSpec, ...]
) -> tf.types.experimental.ConcreteFunction:
  return tf.function(function, input_signature=specs).get_concrete_function()
