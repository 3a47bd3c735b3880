"""The recording channel of a synthetic speaker: microphone, room, noise."""

import dataclasses
import functools
import math

import numpy as np
import scipy.signal

from tff_asr.audio import features


@dataclasses.dataclass(frozen=True)
class Channel:
  """The recording conditions of a voice.

  Attributes:
    low_hz: Lower edge of the microphone's band.
    high_hz: Upper edge of the microphone's band.
    reverberation: Reverberation time of the room (a fall by 60 dB), in seconds.
    echo: Energy of the echo, relative to the direct sound.
    noise_db: Level of the background noise below the speech, in dB.
    noise_slope: Exponent of the noise spectrum: 0 white, 1 pink, 2 brown.
    peak: Largest sample of an utterance, relative to full scale.
  """

  low_hz: float
  high_hz: float
  reverberation: float
  echo: float
  noise_db: float
  noise_slope: float
  peak: float


def draw(
  rng: np.random.Generator, room_spread: float, noise_spread: float
) -> Channel:
  """Draws a channel, from a headset in a quiet room to a phone in a hall.

  Args:
    rng: Source of random numbers.
    room_spread: Spread of microphones, rooms and levels between draws, from 0
      (all equal) to 1.
    noise_spread: Spread of the noise between draws, from 0 to 1.
  """

  def uniform(spread: float, low: float, high: float) -> float:
    middle, reach = (low + high) / 2, spread * (high - low) / 2
    return rng.uniform(middle - reach, middle + reach)

  return Channel(
    low_hz=uniform(room_spread, 40, 200),
    high_hz=uniform(room_spread, 4_000, 7_600),
    reverberation=uniform(room_spread, 0.1, 0.4),
    echo=uniform(room_spread, 0.0, 0.15),
    noise_db=uniform(noise_spread, 20, 45),
    noise_slope=uniform(noise_spread, 0, 2),
    peak=uniform(room_spread, 0.2, 0.9),
  )


def record(
  channel: Channel, voice: np.ndarray, rate: int, rng: np.random.Generator
) -> np.ndarray:
  """Returns the recording of a voice, int16 at 16 kHz.

  Args:
    channel: The recording conditions.
    voice: int16 `[samples]` at `rate` Hz.
    rate: Sample rate of `voice`.
    rng: Source of random numbers for the echo and the noise.
  """
  target = features.SAMPLE_RATE
  common = math.gcd(rate, target)
  up, down = target // common, rate // common
  sound = scipy.signal.resample_poly(
    voice / 32768.0, up, down, window=_low_pass(max(up, down))
  )
  sound = np.concatenate(
    [np.zeros(int(target * rng.uniform(0.05, 0.3))), sound]
  )
  sound = scipy.signal.fftconvolve(sound, _room(channel, rng))
  sound = scipy.signal.sosfilt(_band(channel.low_hz, channel.high_hz), sound)
  level = np.sqrt(np.mean(np.square(sound)))
  sound += (
    _noise(channel, len(sound), rng) * level * 10 ** (-channel.noise_db / 20)
  )
  sound *= channel.peak / max(np.abs(sound).max(), 1e-9)
  return np.round(sound * 32767).astype(np.int16)


@functools.lru_cache(maxsize=8)
def _low_pass(factor: int) -> np.ndarray:
  """Returns the filter that `resample_poly` would design in each call."""
  return scipy.signal.firwin(
    20 * factor + 1, 1 / factor, window=('kaiser', 5.0)
  )


@functools.lru_cache(maxsize=8)
def _band(low_hz: float, high_hz: float) -> np.ndarray:
  """Returns the filter of a microphone, in second-order sections."""
  return scipy.signal.butter(
    2, [low_hz, high_hz], 'bandpass', fs=features.SAMPLE_RATE, output='sos'
  )


def _room(channel: Channel, rng: np.random.Generator) -> np.ndarray:
  """Returns an impulse response: direct sound, exponentially fading echo."""
  rate = features.SAMPLE_RATE
  time = np.arange(int(channel.reverberation * rate)) / rate
  echo = rng.standard_normal(len(time)) * 10 ** (
    -3 * time / channel.reverberation
  )
  echo[: int(0.005 * rate)] = 0.0
  echo *= np.sqrt(channel.echo / max(np.sum(np.square(echo)), 1e-9))
  echo[0] = 1.0
  return echo


def _noise(
  channel: Channel, samples: int, rng: np.random.Generator
) -> np.ndarray:
  """Returns noise of unit power whose spectrum has the channel's slope."""
  spectrum = np.fft.rfft(rng.standard_normal(samples))
  frequency = np.maximum(np.arange(len(spectrum)), 1.0)
  noise = np.fft.irfft(
    spectrum * frequency ** (-channel.noise_slope / 2), samples
  )
  return noise / np.sqrt(np.mean(np.square(noise)))
