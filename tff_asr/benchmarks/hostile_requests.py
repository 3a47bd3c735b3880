"""Makes hostile requests to a server, and normal requests of the same size."""

from collections.abc import Mapping
import struct
from typing import NamedTuple

import numpy as np

from tff_asr.audio import features

_SECONDS = 60  # Longest normal utterance.
_TELEPHONE = 8_000  # Hz; the lowest rate in use: most seconds per byte.
_MOST = 16 * _SECONDS  # Longest audio in a request, in seconds.
_MIN_RATE, _MAX_RATE = 4_000, 191_999
_SHORT = 45  # Milliseconds; gives one frame of the encoder's output.


class Request(NamedTuple):
  """Holds a request.

  Attributes:
    signature: Name of a function of the model.
    inputs: Inputs of the function, by name.
  """

  signature: str
  inputs: Mapping[str, np.ndarray]

  @property
  def size(self) -> int:
    """Returns the size of the request, in bytes."""
    wav = self.inputs.get('wav')
    if wav is not None:
      return sum(map(len, wav))
    return sum(value.nbytes for value in self.inputs.values())


def normal(request: Request) -> Request:
  """Returns a normal request of the same size.

  The utterances are of a minute or less.
  """
  if request.signature == 'wav':
    rate = _TELEPHONE
    if request.size > _MOST * 2 * rate:  # Otherwise the server would refuse it.
      rate *= 6
    longest = int(_SECONDS * rate)
    # A shorter utterance has no frame.
    samples = max(request.size // 2 - 22, _SHORT * rate // 1_000 + 2)
    count = -(-samples // longest)
    files = [_wav(_sound(samples // count, i), rate) for i in range(count)]
    return Request('wav', {'wav': np.array(files, object)})
  longest = int(_SECONDS * features.SAMPLE_RATE)
  samples = request.size // 4
  count = -(-samples // longest)
  sounds = np.stack([_sound(samples // count, i) for i in range(count)])
  return _waveforms(request.signature, sounds / np.float32(2**15))


def _waveforms(signature, waveform, lengths=None) -> Request:
  if lengths is None:
    lengths = np.full(len(waveform), waveform.shape[1])
  return Request(
    signature,
    {'waveform': np.float32(waveform), 'lengths': np.int32(lengths)},
  )


def _sound(samples: int, seed: int = 0) -> np.ndarray:
  """Returns noise that varies in time like speech, int16 `[samples]`."""
  rng = np.random.default_rng(seed)
  loudness = np.repeat(rng.uniform(0, 1, samples // 800 + 1), 800)[:samples]
  return (8_000 * loudness * rng.normal(size=samples)).astype(np.int16)


def _wav(
  pcm: np.ndarray,
  rate: int = features.SAMPLE_RATE,
  *,
  before: bytes = b'',
  claimed: int | None = None,
  channels: int = 1,
  bits: int = 16,
  encoding: int = 1,
) -> bytes:
  """Returns a WAV file, whose header may have false values."""
  body = pcm.tobytes()
  form = struct.pack(
    '<HHIIHH',
    *(encoding, channels, rate, 0),
    *(min(2 * channels, 65_535), bits),
  )
  text = b'WAVE' + b'fmt ' + struct.pack('<I', len(form)) + form + before
  text += b'data' + struct.pack('<I', len(body) if claimed is None else claimed)
  text += body
  return b'RIFF' + struct.pack('<I', len(text)) + text


def _lasting(milliseconds: float, rate: int, seed: int = 0) -> bytes:
  samples = int(milliseconds * rate / 1e3) + 2
  return _wav(_sound(samples, seed), rate)


def hostile() -> dict[str, Request]:
  """Returns hostile requests by description."""
  files = {
    name: Request('wav', {'wav': np.array([*some], object)})
    for name, some in _files().items()
  }
  second = features.SAMPLE_RATE
  quiet = np.zeros([1, 60 * second], np.float32)
  short = np.zeros([1_000, 1], np.float32)
  waveforms = {
    '1,000 waveforms of a sample': ('serving_default', short),
    '1,000 waveforms of a sample, beam': ('beam', short),
    '1,000 waveforms of 45 ms': (
      'serving_default',
      np.tile(_sound(720) / 2**15, [1_000, 1]),
    ),
    'a minute of zeros': ('serving_default', quiet),
    'a minute of zeros, beam': ('beam', quiet),
    'a minute of full noise, beam': (
      'beam',
      np.random.default_rng(0).uniform(-1, 1, [1, 60 * second]),
    ),
    'NaN for a minute': ('serving_default', np.full_like(quiet, np.nan)),
    'lengths of 2 billion': ('serving_default', quiet, [2**31 - 1]),
    'lengths below 0, beam': ('beam', quiet, [-1]),
    'a long one beside 15 short ones, beam': (
      'beam',
      np.zeros([16, 10 * second]),
      [10 * second, *[720] * 15],
    ),
  }
  return files | {name: _waveforms(*given) for name, given in waveforms.items()}


def _files() -> dict[str, list[bytes]]:
  rates = np.linspace(_MIN_RATE, _MAX_RATE, 16).astype(int) | 1
  nothing = np.int16([])
  return {
    '100 headers at 191,999 Hz': [_wav(nothing, _MAX_RATE)] * 100,
    '1,000 headers': [_wav(nothing)] * 1_000,
    '1,000 files of 1,000 rates, of a sample': [
      _wav(np.int16([1]), 4_001 + 187 * i) for i in range(1_000)
    ],
    '1,000 files of 45 ms': [_lasting(_SHORT, 16_000)] * 1_000,
    '1,000 files of 45 ms at 4 kHz': [_lasting(_SHORT, _MIN_RATE)] * 1_000,
    '100 files of 1,000 empty chunks': [
      _wav(nothing, before=(b'junk' + bytes(4)) * 1_000)
    ]
    * 100,
    'a file of 60 empty chunks': [
      _wav(nothing, before=(b'junk' + bytes(4)) * 60)
    ],
    '16 rates, 45 ms each': [_lasting(_SHORT, int(rate)) for rate in rates],
    '16 rates, lengths from 45 ms to 3 s': [
      _lasting(_SHORT * 1.4**i, int(rate))
      for rate in rates[:8]
      for i in range(0, 12, 2)
    ],
    '20 lengths at 16 kHz from 45 ms to 30 s': [
      _lasting(_SHORT * 1.41**i, 16_000) for i in range(20)
    ],
    '16 kHz, twice 10 lengths, the lower ones padded': [
      _lasting(_SHORT * 1.4**i * share, 16_000)
      for i in range(2, 16)
      for share in (1.0, 1.38)
    ],
    'a minute at 4 kHz': [_lasting(59_900, _MIN_RATE)],
    'a minute at 191,999 Hz': [_lasting(59_900, _MAX_RATE)],
    '48 MB at 4 kHz': [_lasting(59_900, _MIN_RATE)] * 100,
    'a minute beside 15 of 45 ms': [
      _lasting(59_900, 16_000),
      *[_lasting(_SHORT, 16_000)] * 15,
    ],
    'a claimed size of 4 GB': [_wav(_sound(720), claimed=2**32 - 1)] * 100,
    'a claimed size of 1 GB': [_wav(_sound(720), claimed=2**30)] * 100,
    '65,535 channels': [_wav(_sound(65_535 * 10), channels=65_535)],
    '1 to 1,000 channels': [
      _wav(_sound(n), 4_000, channels=n) for n in range(1, 1_000)
    ],
    '1 bit': [_wav(_sound(80_000), bits=1)],
    'NaN of 32 bits': [
      _wav(np.full(80_000, np.nan, np.float32), bits=32, encoding=3)
    ],
    'zeros': [_wav(np.zeros(959_000, np.int16))],
    'zeros behind the samples': [_wav(np.zeros(500_000, np.int16), claimed=2)],
  }
