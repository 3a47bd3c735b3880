"""What is served hears what training hears, whatever else is in the batch."""

import itertools

import numpy as np
import pytest
import tensorflow as tf

from tests.serving import conftest
from tff_asr.audio import features
from tff_asr.models import ctc
from tff_asr.serving import server_files, transcriber
from tff_asr.text import sentence_pieces, vocabularies


def served_texts(served, name, **inputs):
  return [t.decode() for t in served.functions[name](**inputs)['text'].numpy()]


def trained_text(encoder, letters, sound):
  """By the functions of training, an utterance alone."""
  log_mel = features.log_mel(features.waveform_of(tf.constant(sound)))[None]
  frames = tf.constant([log_mel.shape[1]])
  logits = encoder(log_mel, frames, training=False)
  lengths = encoder.config.output_frames(frames)
  return letters.decode(ctc.greedy_tokens(logits, lengths).numpy()[0])


def test_texts_are_those_of_training(served, encoder, letters, sounds):
  expected = [trained_text(encoder, letters, s) for s in sounds]
  assert all(expected) and len(set(expected)) == 3
  waveforms = conftest.padded(sounds)
  assert served_texts(served, 'serving_default', **waveforms) == expected
  files = [server_files.wav_file(s) for s in sounds]
  assert served_texts(served, 'wav', wav=tf.constant(files)) == expected
  for sound, text in zip(sounds, expected, strict=True):
    alone = conftest.padded([sound])
    assert served_texts(served, 'serving_default', **alone) == [text]


@pytest.mark.parametrize('filling', [np.nan, 0.5, -np.inf])
def test_what_is_behind_an_utterance_does_not_matter(served, sounds, filling):
  """A server that makes batches fills up with the first sample."""
  inputs = conftest.padded(sounds)
  expected = served_texts(served, 'serving_default', **inputs)
  waveform, lengths = inputs['waveform'].numpy(), inputs['lengths']
  waveform = np.pad(waveform, [[0, 0], [0, 999]])
  for row, length in zip(waveform, lengths.numpy(), strict=True):
    row[length:] = filling
  assert expected == served_texts(
    served, 'serving_default', waveform=tf.constant(waveform), lengths=lengths
  )


def test_logits_are_those_of_the_encoder(served, encoder, sounds):
  found = served.functions['logits'](**conftest.padded(sounds))
  for row, sound in enumerate(sounds):
    log_mel = features.log_mel(features.waveform_of(tf.constant(sound)))[None]
    expected = encoder(log_mel, tf.constant([log_mel.shape[1]]))[0]
    length = found['logit_lengths'][row]
    assert length == len(expected)
    np.testing.assert_allclose(
      found['logits'][row, :length], expected, rtol=1e-3, atol=1e-3
    )


def test_tokens_have_times_and_make_the_text(served, sounds):
  found = {
    name: value.numpy()
    for name, value in served.functions['serving_default'](
      **conftest.padded(sounds)
    ).items()
  }
  for row, sound in enumerate(sounds):
    starts = found['token_starts'][row]
    count = int((starts >= 0).sum())
    assert (starts[count:] == -1).all() and count > 2
    tokens = found['tokens'][row]
    assert (tokens[count:] == b'').all()
    text = b''.join(tokens[:count]).decode()
    assert ' '.join(text.split()) == found['text'][row].decode()
    ends = found['token_ends'][row]
    assert (starts[:count] < ends[:count]).all()
    assert (ends[: count - 1] <= starts[1:count] + 1e-6).all()
    assert ends[count - 1] <= len(sound) / 16_000
    each = found['token_confidences'][row, :count]
    assert ((each > 1 / 30) & (each <= 1)).all()
    mean = np.exp(np.log(each).mean())
    assert found['confidence'][row] == pytest.approx(mean, rel=1e-4)


def brute_force(log_probabilities):
  """The most probable tokens of all alignments: frames `[n, tokens]`."""
  scores = {}
  frames, size = log_probabilities.shape
  for path in itertools.product(range(size), repeat=frames):
    tokens = tuple(t for t, _ in itertools.groupby(path) if t)
    score = sum(log_probabilities[i, t] for i, t in enumerate(path))
    scores[tokens] = np.logaddexp(scores.get(tokens, -np.inf), score)
  return max(scores.items(), key=lambda item: item[1])


def test_the_beam_finds_the_most_probable_text(encoder, monkeypatch):
  """Which is not that of the most probable tokens."""
  alphabet = vocabularies.CharacterVocabulary(' ab')
  model = transcriber.Transcriber(encoder, alphabet, beam=64)
  for seed in range(5):
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=[1, 5, 4]).astype(np.float32)
    answer = logits, tf.constant([5]), tf.constant([''])
    monkeypatch.setattr(model, '_forward', lambda *_, answer=answer: answer)
    found = model._search(None, None)
    tokens, score = brute_force(tf.nn.log_softmax(logits)[0].numpy())
    assert found['text'][0].numpy().decode() == alphabet.decode(tokens)
    assert float(found['log_probability'][0]) == pytest.approx(score, rel=1e-3)


BAD = {
  'not there': (np.zeros(0), 0, ''),
  'one sample': (np.ones(1), 1, ''),
  'less than a window': (np.ones(399), 399, ''),
  'silence': (np.zeros(16_000), 16_000, ''),
  'no numbers': (np.full(16_000, np.nan), 16_000, 'no numbers'),
  'infinite': (np.full(16_000, np.inf), 16_000, 'no numbers'),
  'very loud': (np.full(16_000, 1e30), 16_000, ''),
  'as long as may be': (np.zeros(48_000), 48_000, ''),
  'too long': (np.zeros(48_001), 48_001, 'longer than 3 s'),
  'a length below 0': (np.zeros(100), -1, 'a length outside'),
  'a length too long': (np.zeros(100), 99_999, 'a length outside'),
}


@pytest.mark.parametrize('name', ['serving_default', 'logits', 'beam'])
def test_no_utterance_harms_another(served, sounds, name):
  function = served.functions[name]
  alone = function(**conftest.padded(sounds[:1]))
  rows = [(sounds[0] / 2**15, len(sounds[0]), ''), *BAD.values()]
  waveform = np.zeros([len(rows), 48_001], np.float32)
  for row, (sound, _, _) in zip(waveform, rows, strict=True):
    row[: len(sound)] = sound
  lengths = tf.constant([length for _, length, _ in rows], tf.int32)
  found = function(waveform=tf.constant(waveform), lengths=lengths)
  for error, (_, _, message) in zip(found['error'].numpy(), rows, strict=True):
    assert message in error.decode() and bool(message) == bool(error)
  if name == 'logits':
    length = alone['logit_lengths'][0]
    assert found['logit_lengths'][0] == length
    assert np.isfinite(found['logits']).all()
    np.testing.assert_allclose(
      found['logits'][0, :length], alone['logits'][0, :length], atol=1e-3
    )
  else:
    assert found['text'][0] == alone['text'][0]
    for text, (_, _, message) in zip(found['text'].numpy(), rows, strict=True):
      assert not (message and text)


@pytest.mark.parametrize('name', BAD)
def test_whatever_comes_alone_is_answered(served, name):
  sound, length, message = BAD[name]
  found = served.functions['serving_default'](
    waveform=tf.constant(sound[None], tf.float32), lengths=tf.constant([length])
  )
  assert message in found['error'].numpy()[0].decode()
  assert np.isfinite(found['confidence']).all()


def test_files_that_are_none_harm_no_other(served, sounds):
  good = server_files.wav_file(sounds[0])
  (expected,) = served_texts(served, 'wav', wav=tf.constant([good]))
  files = [b'', good, b'no audio', good[:500], good]
  found = served.functions['wav'](wav=tf.constant(files))
  assert [t.decode() for t in found['text'].numpy()] == [
    *('', expected, '', '', expected)
  ]
  assert [bool(e) for e in found['error'].numpy()] == [
    *(True, False, True, True, False)
  ]


def test_a_batch_that_would_take_too_much_is_refused(served):
  """By its longest utterance: 16 times 3 s in all."""
  message = 'no more than 48 s'
  longest = server_files.wav_file(np.zeros(47_000, np.int16))
  served.functions['wav'](wav=tf.constant([longest, *[b''] * 15]))
  with pytest.raises(tf.errors.InvalidArgumentError, match=message):
    served.functions['wav'](wav=tf.constant([longest, *[b''] * 16]))
  with pytest.raises(tf.errors.InvalidArgumentError, match=message):
    served.functions['serving_default'](
      waveform=tf.zeros([17, 46_000]),
      lengths=tf.constant([46_000] + [0] * 16),
    )


def test_so_many_utterances_and_no_more(served):
  for count in 1_000, 1_001:
    inputs = [
      ('serving_default', {'waveform': tf.zeros([count, 1])}),
      ('beam', {'waveform': tf.zeros([count, 1])}),
      ('wav', {'wav': tf.fill([count], server_files.wav_file(np.int16([])))}),
    ]
    for name, given in inputs:
      if name != 'wav':
        given['lengths'] = tf.ones([count], tf.int32)
      if count == 1_000:
        assert not any(served_texts(served, name, **given))
        continue
      with pytest.raises(
        tf.errors.InvalidArgumentError, match='no more than 1000 utterances'
      ):
        served.functions[name](**given)


def test_the_order_of_files_of_many_lengths_and_rates_is_kept(served):
  rng = np.random.default_rng(0)
  files = []
  for i in range(12):
    rate = int(rng.choice([8_000, 16_000, 16_000, 22_050]))
    sound = conftest.noise(int(rng.integers(0, 2 * rate)), i)
    files.append(server_files.wav_file(sound, rate))
  files[3:3] = [b'', server_files.wav_file(np.int16([]))]
  found = served.functions['wav'](wav=tf.constant(files))
  for row, file in enumerate(files):
    alone = served.functions['wav'](wav=tf.constant([file]))
    for name in ('text', 'error'):
      assert found[name][row] == alone[name][0]
    np.testing.assert_allclose(
      found['confidence'][row], alone['confidence'][0], rtol=1e-3
    )
    count = int((alone['token_starts'] >= 0).numpy().sum())
    np.testing.assert_array_equal(
      found['token_starts'][row, :count], alone['token_starts'][0, :count]
    )


@pytest.mark.parametrize(
  ('waveforms', 'lengths', 'message'),
  [(0, 0, 'There is no utterance'), (2, 3, 'a length for each waveform')],
)
def test_a_batch_that_is_none_is_refused(served, waveforms, lengths, message):
  with pytest.raises(tf.errors.InvalidArgumentError, match=message):
    served.functions['serving_default'](
      waveform=tf.zeros([waveforms, 100]), lengths=tf.zeros([lengths], tf.int32)
    )


def test_word_pieces_are_written_as_they_are_decoded(encoder, tmp_path):
  text = tmp_path / 'text'
  text.write_text('turn on the lights\nplay some jazz\n' * 9)
  sentence_pieces.train(
    [text], 32, vocabularies.ALPHABETS['en'], tmp_path / 'model'
  )
  pieces = sentence_pieces.SentencePieceVocabulary(
    (tmp_path / 'model').read_bytes()
  )
  model = transcriber.Transcriber(encoder, pieces, beam=0)
  assert 'beam' not in model.functions
  rng = np.random.default_rng(0)
  for _ in range(50):
    tokens = rng.integers(0, pieces.size, 12)
    found = model._text(tf.ragged.constant([tokens.tolist()], tf.int32))
    assert found[0].numpy().decode() == pieces.decode(tokens.tolist())
