"""WAV files inside a graph, against libsndfile."""

import io

from hypothesis import given, settings
from hypothesis import strategies as st
import numpy as np
import pytest
import soundfile
import tensorflow as tf

from tff_asr.audio import decoding
from tff_asr.serving import wav

DECODE = tf.function(
  lambda contents: wav.decode(contents, 2.0),
  input_signature=[tf.TensorSpec([], tf.string)],
)


def wav_file(rate=16_000, channels=1, samples=4_000, seed=0, **kwargs):
  rng = np.random.default_rng(seed)
  steps = rng.integers(-9_000, 9_000, [samples // 40 + 2, channels])
  smooth = np.repeat(steps, 40, axis=0)[:samples].astype(np.int16)
  contents = io.BytesIO()
  kwargs = {'format': 'WAV', 'subtype': 'PCM_16', **kwargs}
  soundfile.write(contents, smooth, rate, **kwargs)
  return contents.getvalue()


WHOLE = wav_file()


@settings(max_examples=20, deadline=None)
@given(
  st.integers(1, 6),
  st.integers(0, 4_000),
  st.integers(0, 99),
  st.sampled_from(['WAV', 'WAVEX']),
)
def test_samples_are_those_of_training(channels, samples, seed, kind):
  contents = wav_file(16_000, channels, samples, seed, format=kind)
  waveform, error = DECODE(contents)
  assert error == b''
  expected = decoding.decode(contents) if samples else []
  np.testing.assert_array_equal(waveform * 2**15, expected)


@pytest.mark.parametrize('rate', [8_000, 22_050, 44_100, 48_000])
def test_another_rate_sounds_as_in_training(rate):
  contents = wav_file(rate, 2, rate)
  waveform, error = DECODE(contents)
  assert error == b''
  expected = decoding.decode(contents) / 2**15
  assert abs(len(waveform) - len(expected)) <= 1
  inside = slice(200, 15_800)
  difference = waveform.numpy()[inside] - expected[inside]
  # The edges of the filters, at 7.6 kHz or so, are not quite the same.
  assert np.std(difference) < 0.01 * np.std(expected)


@pytest.mark.parametrize(
  ('contents', 'message'),
  [
    (b'', b'not a WAV file'),
    (b'RIFF', b'not a WAV file'),
    (b'fLaC' * 99, b'not a WAV file'),
    (WHOLE[:20], b'not 16-bit PCM'),
    (WHOLE[:-1_000], b'shorter than its header says'),
    (wav_file(subtype='FLOAT'), b'not 16-bit PCM'),
    (wav_file(subtype='PCM_24'), b'not 16-bit PCM'),
    (wav_file(samples=32_001), b'longer than 2 s'),
    (WHOLE[:22] + bytes(2) + WHOLE[24:], b'no channels'),
    (WHOLE[:24] + bytes(4) + WHOLE[28:], b'a sample rate outside of'),
    (WHOLE[:16] + b'\xff' * 4 + WHOLE[20:], b'a WAV file without samples'),
    (WHOLE[:12] + WHOLE[36:], b'a WAV file without a format'),
  ],
)
def test_what_is_wrong_is_named(contents, message):
  waveform, error = DECODE(contents)
  assert len(waveform) == 0 and message in error.numpy()


@pytest.mark.parametrize('size', [b'\xff\xff\xff\xff', bytes(4)])
def test_a_file_from_a_pipe_has_no_size(size):
  waveform, error = DECODE(WHOLE[:40] + size + WHOLE[44:])
  assert error == b'' and len(waveform) == 4_000


def test_no_samples_and_another_chunk_behind_them():
  more = b'LIST' + (4_000).to_bytes(4, 'little') + bytes(4_000)
  contents = WHOLE[:4] + bytes(4) + WHOLE[8:40] + bytes(4) + more
  waveform, error = DECODE(contents)
  assert error == b'' and len(waveform) == 0
  assert decoding.decode(contents).size == 0
  # What only looks like a chunk is sound.
  waveform, _ = DECODE(contents[:-1_000])
  assert len(waveform) == len(decoding.decode(contents[:-1_000])) > 1_000


@pytest.mark.parametrize('count', [10, 2_000])
def test_so_many_chunks_are_looked_at_and_no_more(count):
  chunks = (b'junk' + bytes(4)) * count
  waveform, error = DECODE(WHOLE[:12] + chunks + WHOLE[12:])
  if count < 1_000:
    assert error == b'' and len(waveform) == 4_000
  else:
    assert error == b'a WAV file without a format' and not len(waveform)


@settings(max_examples=150, deadline=None)
@given(
  st.lists(st.tuples(st.integers(0, 60), st.integers(0, 255)), max_size=6),
  st.integers(0, len(WHOLE)),
)
def test_whatever_the_header_says_it_ends(changes, length):
  contents = bytearray(WHOLE[:length])
  for at, value in changes:
    if at < length:
      contents[at] = value
  waveform, error = DECODE(bytes(contents))
  assert np.isfinite(waveform).all()
  assert len(waveform) <= 2 * 16_000 + 1
  assert error == b'' or not len(waveform)
