"""Speaks the sentences of speakers with eSpeak NG, as a separate process.

Only this file uses eSpeak NG (GPL-3), through the shared library that the
`espeakng-loader` package installs.  The process exchanges only text and samples
with the rest of the program.  The library keeps state between sentences, so
reproducible output needs a new process for each speaker and a fixed order.  To
start Python and the library takes longer than to speak, so this process does
both once, and answers each request in a copy of itself.

Standard input: for each speaker a line of JSON with `voice`, `pitch` (0..99),
`range` (0..99), `rate` (words a minute), `texts`.  Standard output: for each
speaker the sample rate, then for each text the number of samples (all int32,
little-endian) and the samples (int16).  After an error the process ends.
"""

import ctypes
import json
import os
import signal
import struct
import sys

import espeakng_loader

_SYNCHRONOUS = 2  # espeak_AUDIO_OUTPUT: to the callback, without a thread.
_RATE, _PITCH, _RANGE = 1, 3, 4  # espeak_PARAMETER
_CHARACTERS = 1  # espeak_POSITION_TYPE
_UTF8 = 1
_SET_PARENT_DEATH_SIGNAL = 1  # prctl
_Callback = ctypes.CFUNCTYPE(
  ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p
)


def main() -> None:
  """Answers the requests on standard input, up to its end."""
  # Ctrl-C reaches this process too; the end of the input will end it.
  signal.signal(signal.SIGINT, signal.SIG_IGN)
  espeak = ctypes.CDLL(espeakng_loader.get_library_path())
  # The library's buffer for the path of its data is short: give it the name.
  folder, name = os.path.split(espeakng_loader.get_data_path())
  os.chdir(folder)
  rate = espeak.espeak_Initialize(_SYNCHRONOUS, 0, name.encode(), 0)
  if rate <= 0:
    sys.exit(f'eSpeak NG does not start: code {rate}.')
  espeak.espeak_ListVoices(None)  # Otherwise each copy would read the list.
  parent, system = os.getpid(), ctypes.CDLL(None)
  for line in sys.stdin.buffer:
    copy = os.fork()
    if not copy:
      system.prctl(_SET_PARENT_DEATH_SIGNAL, signal.SIGKILL)
      if os.getppid() == parent:
        _answer(espeak, rate, json.loads(line))
      os._exit(0)  # Python's own end would take longer than the sentences.
    _, status = os.waitpid(copy, 0)
    if status:
      sys.exit(os.waitstatus_to_exitcode(status))


def _answer(espeak: ctypes.CDLL, rate: int, request: dict) -> None:
  """Writes the sentences of a speaker to standard output."""
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
    out.write(struct.pack('<i', len(samples) // 2))
    out.write(samples)
  out.flush()


if __name__ == '__main__':
  main()
