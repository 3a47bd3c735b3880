"""Speaks the sentences of one speaker with eSpeak NG, as a separate process.

Only this file uses eSpeak NG (GPL-3), through the shared library that the
`espeakng-loader` package installs.  The process exchanges only text and samples
with the rest of the program.  The library keeps state between sentences, so
reproducible output needs a new process and a fixed order.

Standard input: JSON with `voice`, `pitch` (0..99), `range` (0..99), `rate`
(words a minute), `texts`.  Standard output: the sample rate, then for each text
the number of samples (all int32, little-endian) and the samples (int16).
"""

import ctypes
import json
import os
import struct
import sys

import espeakng_loader

_RETRIEVAL = 1  # espeak_AUDIO_OUTPUT: samples go to the callback only.
_RATE, _PITCH, _RANGE = 1, 3, 4  # espeak_PARAMETER
_CHARACTERS = 1  # espeak_POSITION_TYPE
_UTF8 = 1
_Callback = ctypes.CFUNCTYPE(
  ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p
)


def main() -> None:
  """Answers one request on standard input."""
  request = json.load(sys.stdin)
  espeak = ctypes.CDLL(espeakng_loader.get_library_path())
  # The library's buffer for the path of its data is short: give it the name.
  folder, name = os.path.split(espeakng_loader.get_data_path())
  os.chdir(folder)
  rate = espeak.espeak_Initialize(_RETRIEVAL, 0, name.encode(), 0)
  if rate <= 0:
    sys.exit(f'eSpeak NG does not start: code {rate}.')
  samples = bytearray()

  @_Callback
  def collect(wave, count, _):
    if wave and count:
      samples.extend(ctypes.string_at(wave, 2 * count))
    return 0

  espeak.espeak_SetSynthCallback(collect)
  if espeak.espeak_SetVoiceByName(request['voice'].encode()):
    sys.exit(f'eSpeak NG has no voice {request["voice"]!r}.')
  for parameter, name in (_RATE, 'rate'), (_PITCH, 'pitch'), (_RANGE, 'range'):
    espeak.espeak_SetParameter(parameter, request[name], 0)
  out = sys.stdout.buffer
  out.write(struct.pack('<i', rate))
  for text in request['texts']:
    samples.clear()
    encoded = text.encode()
    espeak.espeak_Synth(
      encoded, len(encoded) + 1, 0, _CHARACTERS, 0, _UTF8, None, None
    )
    espeak.espeak_Synchronize()
    out.write(struct.pack('<i', len(samples) // 2))
    out.write(samples)


if __name__ == '__main__':
  main()
