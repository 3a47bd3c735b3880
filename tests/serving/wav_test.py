"""WAV files inside a graph, against libsndfile."""

import io
import struct

from hypothesis import given, settings
from hypothesis import strategies as st
import numpy as np
import pytest
import soundfile
import tensorflow as tf

from tff_asr.audio import decoding
from tff_asr.serving import wav


@tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
def decode_all(files):
  """Sounds of those files that have no error, and all errors."""
  headers = wav.headers(files, 2.0)
  rows = tf.where(tf.equal(headers.error, b''))[:, 0]
  some = wav.Headers(*(tf.gather(values, rows) for values in headers))
  return wav.decode(tf.gather(files, rows), some), headers.error


def decode(contents):
  """Sound of a file, empty if there is an error, and the error."""
  sounds, errors = decode_all(tf.constant([contents]))
  assert len(sounds.row_splits) == (1 if errors[0] else 2)
  return sounds.values, errors[0]


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
  waveform, error = decode(contents)
  assert error == b''
  expected = decoding.decode(contents) if samples else []
  np.testing.assert_array_equal(waveform * 2**15, expected)


@pytest.mark.parametrize('rate', [8_000, 22_050, 44_100, 48_000])
def test_another_rate_sounds_as_in_training(rate):
  contents = wav_file(rate, 2, rate)
  waveform, error = decode(contents)
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
    (WHOLE[:20], b'a WAV file without a format'),
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
  waveform, error = decode(contents)
  assert len(waveform) == 0 and message in error.numpy()


@pytest.mark.parametrize('size', [b'\xff\xff\xff\xff', bytes(4)])
def test_a_file_from_a_pipe_has_no_size(size):
  waveform, error = decode(WHOLE[:40] + size + WHOLE[44:])
  assert error == b'' and len(waveform) == 4_000


def test_no_samples_and_another_chunk_behind_them():
  more = b'name' + (4_000).to_bytes(4, 'little') + bytes(4_000)
  contents = WHOLE[:4] + bytes(4) + WHOLE[8:40] + bytes(4) + more
  waveform, error = decode(contents)
  assert error == b'' and len(waveform) == 0
  assert decoding.decode(contents).size == 0
  # What only looks like a chunk is sound.
  waveform, _ = decode(contents[:-1_000])
  assert len(waveform) == len(decoding.decode(contents[:-1_000])) > 1_000


@pytest.mark.parametrize('count', [10, 2_000])
def test_so_many_chunks_are_looked_at_and_no_more(count):
  chunks = (b'junk' + bytes(4)) * count
  waveform, error = decode(WHOLE[:12] + chunks + WHOLE[12:])
  if count < 64:
    assert error == b'' and len(waveform) == 4_000
  else:
    assert error == b'more than 64 chunks' and not len(waveform)


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
  waveform, error = decode(bytes(contents))
  assert np.isfinite(waveform).all()
  assert len(waveform) <= 2 * 16_000 + 1
  assert error == b'' or not len(waveform)


def chunk(name, body, size=None, has_padding=True):
  """A chunk that may say another size."""
  size = len(body) if size is None else size
  padding = bytes(len(body) % 2 if has_padding else 0)
  return name + size.to_bytes(4, 'little') + body + padding


@st.composite
def wav_shapes(draw):
  """WAV files as recorders, browsers and bad disks leave them."""
  channels = draw(st.integers(1, 3))
  rng = np.random.default_rng(draw(st.integers(0, 9)))
  sound = rng.integers(-9_000, 9_000, [draw(st.integers(0, 300)), channels])
  pcm = sound.astype('<i2').tobytes()
  pcm += bytes(draw(st.sampled_from([0, 0, 0, 1])))
  encoding = draw(st.sampled_from([1] * 6 + [0xFFFE] * 3 + [6]))
  align = draw(st.sampled_from([2 * channels] * 12 + [0, 0, 1, 4 * channels]))
  bits = draw(st.sampled_from([16] * 12 + [8, 12, 24]))
  form = struct.pack('<HHIIHH', encoding, channels, 16_000, 32_000, align, bits)
  if encoding == 0xFFFE:
    form += struct.pack('<HHIH', 22, 16, 0, 1) + bytes.fromhex(
      '000000001000800000aa00389b71'
    )
  good = [
    *(b'', b'', b''),
    chunk(b'LIST', b'INFOabc'),
    chunk(b'LIST', b'INFOabc', has_padding=False),
    chunk(b'odd!', b'12345'),
    chunk(b'fact', bytes(4)),
    chunk(b'JUNK', bytes(28)),
  ]
  doubtful = [
    chunk(b'LIST', b'INFOabcd', size=99),
    chunk(b'odd!', b'12345', size=5_000),
    *(bytes(8), bytes(31), b'\x01', b'TAG' + b'x' * 125, b'ID3\x04'),
    b'ID3\x04' + bytes(5) + b'\x05' + b'12345',
    b'garbage, no chunk at all',
    chunk(b'data', b'more'),
    chunk(b'RIFF', b'WAVE'),
    chunk(b'LIST', b'wavl'),
  ]
  before = draw(st.sampled_from([*good * 4, *doubtful]))
  behind = b''.join(
    draw(st.lists(st.sampled_from([*good, *doubtful]), max_size=2))
  )
  there = len(pcm)
  said = draw(
    st.sampled_from(
      [there] * 6
      + [0, 2**32 - 1, 0x7FFF_F000, 0x7FFF_FFFF, there + 1, there + 2]
      + [there + 36, there // 2, there // 4 * 2, 10**6, there + len(behind)]
    )
  )
  body = chunk(b'fmt ', form) + before + chunk(b'data', pcm, size=said)
  body += behind
  whole = 4 + len(body)
  riff = draw(
    st.sampled_from(
      [whole] * 4 + [whole + 8, 0, 2**32 - 1, 36, said, whole - 8]
    )
  )
  contents = b'RIFF' + riff.to_bytes(4, 'little') + b'WAVE' + body
  cut = draw(st.sampled_from([0] * 6 + [1, 2, 9, 50]))
  return contents[: len(contents) - cut]


INFO = chunk(b'LIST', b'INFOISFT' + b'\4\0\0\0abcd')
TAG = b'TAG' + bytes(125)
NO_SIZE = WHOLE[:40] + b'\xff' * 4 + WHOLE[44:]
NO_SAMPLES = WHOLE[:40] + bytes(4)


@pytest.mark.parametrize(
  'contents',
  [
    WHOLE + TAG + WHOLE,
    WHOLE + b'ID3\3' + bytes(6) + WHOLE[44:],
    WHOLE + chunk(b'LIST', b'INFO' + WHOLE[36:], 10**9),
    WHOLE + chunk(b'LIST', b'INFO' + WHOLE[36:]),
    NO_SAMPLES + WHOLE[36:],
    NO_SAMPLES + chunk(b'JUNK', b'1234') + WHOLE[36:],
    NO_SAMPLES + WHOLE[44:] + INFO,
    NO_SIZE + INFO,
    NO_SIZE + INFO + TAG,
  ],
)
def test_hidden_sound_and_metadata_as_sound_are_refused(contents):
  assert decode(contents)[1] == b'longer than its header says'
  with pytest.raises(decoding.AudioError):
    decoding.decode(contents)


@settings(max_examples=400, deadline=None)
@given(st.lists(wav_shapes(), min_size=1, max_size=8))
def test_the_same_files_are_whole_as_in_training(files):
  sounds, errors = decode_all(tf.constant(files))
  sounds = iter(sounds)
  for contents, error in zip(files, errors.numpy(), strict=True):
    try:
      expected = decoding.decode(contents)
    except decoding.AudioError:
      assert error
      continue
    if error:
      assert b'not 16-bit PCM' in error, error
    else:
      np.testing.assert_array_equal(next(sounds) * 2**15, expected)
