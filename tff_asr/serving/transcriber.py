"""The served functions: from sound to text, in plain TensorFlow operations.

An utterance that cannot be used gets an empty text and an `error`.  It neither
ends the process nor changes the transcripts of other utterances in the batch.
"""

from collections.abc import Callable
import math

import tensorflow as tf

from tff_asr.audio import features
from tff_asr.models import ctc
from tff_asr.models.encoder import Encoder
from tff_asr.serving import greedy, wav
from tff_asr.text import vocabularies

MAX_SECONDS = 60.0
_MAX_BATCH = 16  # Most utterances of the greatest length.
_MAX_UTTERANCES = 1_000
_LIKE = 1.4  # Lengths up to this ratio are padded to the same length.
_WAVEFORM = (
  tf.TensorSpec([None, None], tf.float32, 'waveform'),
  tf.TensorSpec([None], tf.int32, 'lengths'),
)
_WAV = (tf.TensorSpec([None], tf.string, 'wav'),)


class Transcriber(tf.Module):
  """An encoder with its features and its decoders.

  Attributes:
    functions: Functions by name; a server offers the same names.
      `serving_default` takes `waveform` (float32 `[batch, samples]`, 16 kHz, in
        [-1, 1]) and `lengths` (int32 `[batch]`, in samples), and returns the
        values that `_results` describes.
      `wav` takes `wav` (string `[batch]`, files of 16-bit PCM), and returns the
        same values.
      `logits` takes `waveform` and `lengths`, and returns `logits` (float32
        `[batch, frames, vocabulary]`), their `logit_lengths` (int32 `[batch]`)
        and `error` (string `[batch]`).
      `beam` takes `waveform` and `lengths`, and returns the `text` of a prefix
        beam search without a language model, the text's `log_probability` and
        `error`.  This function is absent if the argument `beam` is 0.
  """

  def __init__(
    self,
    encoder: Encoder,
    vocabulary: vocabularies.Vocabulary,
    beam: int = 16,
    max_seconds: float = MAX_SECONDS,
  ):
    """Traces the functions.

    Args:
      encoder: The model.
      vocabulary: Vocabulary of the encoder's outputs.
      beam: Width of the beam search; 0 for no beam search.
      max_seconds: Greatest length; longer utterances are refused, because the
        memory of attention grows with the square of an utterance's length.
    """
    super().__init__()
    self._weights = list(encoder.variables)  # Saved with the functions.
    self._encoder = encoder.call
    self._config = encoder.config
    # The other functions call this function, so that a graph has it once.
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
    return self._results(ctc.greedy_decode(logits, frames), error)

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

    def decode(places):
      some = tf.gather(sounds, places)
      lengths = tf.cast(some.row_lengths(), tf.int32)
      logits, frames, _ = self._forward(some.to_tensor(), lengths)
      return ctc.greedy_decode(logits, frames)

    return self._results(
      greedy.in_groups(
        tf.cast(length / math.log(_LIKE), tf.int32),
        decode,
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
      # In this decoder the blank is the last output.
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
    """Returns logits, the numbers of their valid frames, and errors.

    Returns:
      float32 `[batch, frames, vocabulary]`, int32 `[batch]` and string
      `[batch]`.
    """
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
    is_sound = tf.abs(waveform) <= tf.float32.max  # False for infinity and NaN.
    are_all = tf.reduce_all(is_sound | ~present, axis=1)
    error = tf.where(are_all, error, 'samples that are no numbers')
    lengths = tf.where(are_all, lengths, 0)
    frames = self._output_frames(lengths)
    # The encoder gets only utterances with frames.  If there are none, it gets
    # the first utterance, because it needs at least one.
    is_encoded = (frames > 0) | (
      tf.reduce_all(frames <= 0) & tf.equal(tf.range(batch), 0)
    )
    rows = tf.where(is_encoded)[:, 0]
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
    """Checks the memory of a batch: its size times its longest utterance."""
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

  def _results(self, hypotheses, error):
    """Returns the hypotheses in the form that clients receive.

    Returns:
      text: string `[batch]`.
      confidence: float32 `[batch]`, the geometric mean of the tokens'
        confidences.  The confidence of an empty text is the geometric mean of
        the blank's probabilities over all frames, or 0 without frames.
      tokens: string `[batch, tokens]`, the texts of the tokens, padded with
        empty texts.
      token_starts, token_ends: float32 `[batch, tokens]`, in seconds, padded
        with -1.  CTC emits a token anywhere within its sound, so these times
        are not the exact edges of the sound.
      token_confidences: float32 `[batch, tokens]`, the greatest probability of
        each token over its frames, padded with -1.
      error: string `[batch]`, empty without an error.
    """
    tokens = hypotheses.tokens
    seconds = [
      tf.cast(edges, tf.float32) * self._config.frame_seconds
      for edges in (hypotheses.starts, hypotheses.ends)
    ]
    number = tf.cast(tokens.row_lengths(), tf.float32)
    total = tf.reduce_sum(hypotheses.log_probabilities, axis=1)
    mean = tf.where(
      number > 0, total / tf.maximum(number, 1.0), hypotheses.blanks
    )
    return {
      'text': self._text(tokens),
      'confidence': tf.where(hypotheses.frames > 0, tf.exp(mean), 0.0),
      'tokens': tf.gather(self._pieces, tokens).to_tensor(''),
      'token_starts': seconds[0].to_tensor(-1.0),
      'token_ends': seconds[1].to_tensor(-1.0),
      'token_confidences': tf.exp(hypotheses.log_probabilities).to_tensor(-1.0),
      'error': error,
    }

  def _text(self, tokens: tf.RaggedTensor) -> tf.Tensor:
    """Returns the text, string `[batch]`, of int32 `[batch, (tokens)]`."""
    joined = tf.strings.reduce_join(tf.gather(self._pieces, tokens), axis=1)
    return tf.strings.strip(tf.strings.regex_replace(joined, r'\s+', ' '))


def _check_count(utterances: tf.Tensor) -> tf.Operation:
  """Checks that the number of utterances is within its limits."""
  batch = tf.shape(utterances)[0]
  some = tf.debugging.assert_positive(batch, 'There is no utterance')
  few = tf.debugging.assert_less_equal(
    batch,
    _MAX_UTTERANCES,
    f'A batch is to have no more than {_MAX_UTTERANCES} utterances',
  )
  return tf.group(some, few)


def _log_mel(waveform: tf.Tensor, least: int) -> tf.Tensor:
  """Returns the features of a batch, float32 `[batch, frames, 80]`.

  Frames of other sounds or of padding may follow an utterance's own frames.

  Args:
    waveform: float32 `[batch, samples]`.
    least: Least number of frames of the result.
  """
  batch = tf.shape(waveform)[0]
  hops = tf.maximum(-(-tf.shape(waveform)[1] // features.HOP), least)
  # As in training, the utterances follow each other on one grid of hops, and
  # the features are computed in chunks.
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
