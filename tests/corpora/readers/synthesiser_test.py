"""Voices depend on one request alone; no process outlives its user."""

import contextlib
import json
import os
import pathlib
import signal
import struct
import subprocess
import sys
import time

from hypothesis import given, settings
from hypothesis import strategies as st
import numpy as np
import pytest

from tff_asr.corpora.readers.synthetic import synthesiser, synthetic_corpus

# Speaks sentences with the library as its manual has it, in one process.
_PLAIN = """
import ctypes, json, os, struct, sys
import espeakng_loader
request = json.load(sys.stdin)
library = ctypes.CDLL(espeakng_loader.get_library_path())
folder, name = os.path.split(espeakng_loader.get_data_path())
os.chdir(folder)
sound = [struct.pack('<i', library.espeak_Initialize(1, 0, name.encode(), 0))]
kind = ctypes.CFUNCTYPE(
  ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p
)
spoken = b''

@kind
def collect(wave, count, _):
  global spoken
  if wave and count:
    spoken += ctypes.string_at(wave, 2 * count)
  return 0

library.espeak_SetSynthCallback(collect)
assert not library.espeak_SetVoiceByName(request['voice'].encode())
for number, name in (1, 'rate'), (3, 'pitch'), (4, 'range'):
  library.espeak_SetParameter(number, request[name], 0)
for text in request['texts']:
  spoken = b''
  text = text.encode()
  library.espeak_Synth(text, len(text) + 1, 0, 1, 0, 1, None, None)
  library.espeak_Synchronize()
  sound += [struct.pack('<i', len(spoken) // 2), spoken]
sys.stdout.buffer.write(b''.join(sound))
"""

_REQUESTS = st.fixed_dictionaries(
  {
    'voice': st.builds(
      '{}+{}'.format,
      st.sampled_from(synthetic_corpus._ACCENTS),
      st.sampled_from(
        [*synthetic_corpus._VARIANTS, *synthetic_corpus._HELD_OUT_VARIANTS]
      ),
    ),
    'pitch': st.integers(0, 99),
    'range': st.integers(0, 99),
    'rate': st.integers(100, 300),
    'texts': st.lists(
      st.sampled_from(['call anna', 'play jazz', 'wake me at ten on friday']),
      max_size=3,
    ),
  }
)


def environment(*before):
  path = os.pathsep.join([*map(str, before), *sys.path])
  return {**os.environ, 'PYTHONPATH': path}


def plainly(request):
  done = subprocess.run(
    [sys.executable, '-c', _PLAIN],
    input=json.dumps(request).encode(),
    stdout=subprocess.PIPE,
    env=environment(),
    check=True,
  )
  return done.stdout


def in_bytes(rate, voices):
  found = [struct.pack('<i', rate)]
  for voice in voices:
    found += [struct.pack('<i', len(voice)), voice.astype('<i2').tobytes()]
  return b''.join(found)


@settings(max_examples=10)
@given(st.lists(_REQUESTS, min_size=1, max_size=4))
def test_samples_are_those_of_the_library_in_a_process_of_its_own(requests):
  with synthesiser.Synthesiser() as speech:
    found = [in_bytes(*speech.speak(request)) for request in requests]
  assert found == [plainly(request) for request in requests]


@settings(max_examples=5)
@given(st.integers(0, 99), st.integers(1, 12))
def test_a_speaker_is_the_same_alone_and_after_others(seed, clients):
  """Whatever other speakers the processes made before."""
  config = synthetic_corpus.SyntheticConfig(clients, seed, 2.0)
  corpus = list(synthetic_corpus.Synthetic(config).items())
  with synthesiser.Synthesiser() as speech:
    alone = synthetic_corpus._speaker(config, clients - 1, speech)
  among = [u for u in corpus if u.client_id == alone[0].client_id]
  assert [u.text for u in among] == [u.text for u in alone]
  for one, other in zip(among, alone, strict=True):
    np.testing.assert_array_equal(one.audio, other.audio)


def is_running(pid):
  try:
    state = pathlib.Path(f'/proc/{pid}/stat').read_text().rpartition(')')[2]
  except (FileNotFoundError, ProcessLookupError):
    return False
  return state.split()[0] not in 'ZX'


def children(pid):
  found = []
  for task in pathlib.Path(f'/proc/{pid}/task').glob('*/children'):
    # A thread may end meanwhile.
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
      found += map(int, task.read_text().split())
  return found


REQUEST = dict(voice='gmw/en+m1', pitch=50, range=50, rate=180, texts=['one'])


def test_a_process_answers_many_speakers_and_ends_with_the_statement():
  before = set(children(os.getpid()))
  with synthesiser.Synthesiser() as speech:
    for _ in range(5):
      speech.speak(REQUEST)
    (process,) = set(children(os.getpid())) - before
  assert not is_running(process)


def test_a_corpus_that_is_read_in_part_leaves_no_process():
  before = set(children(os.getpid()))
  config = synthetic_corpus.SyntheticConfig(clients=50, seed=0)
  items = synthetic_corpus.Synthetic(config).items()
  next(items)
  assert set(children(os.getpid())) - before
  items.close()
  assert not set(children(os.getpid())) - before


@pytest.mark.parametrize('number', [signal.SIGKILL, signal.SIGTERM])
def test_no_process_is_left_behind_when_the_program_is_killed(number):
  program = subprocess.Popen(
    [
      sys.executable,
      '-c',
      'import sys\n'
      'from tff_asr.corpora.readers.synthetic import synthesiser\n'
      'with synthesiser.Synthesiser() as speech:\n'
      f'  speech.speak({REQUEST})\n'
      '  print("ready", flush=True)\n'
      f'  speech.speak({ {**REQUEST, "texts": ["two"] * 10_000} })\n',
    ],
    env=environment(),
    stdout=subprocess.PIPE,
    text=True,
  )
  with program:
    assert program.stdout.readline() == 'ready\n'
    (process,) = (pid for pid in children(program.pid) if is_running(pid))
    while not (copies := children(process)):
      time.sleep(0.01)
    program.send_signal(number)
  deadline = time.monotonic() + 120
  left = [process, *copies]
  while any(map(is_running, left)) and time.monotonic() < deadline:
    time.sleep(0.05)
  assert not any(map(is_running, left))


def test_an_unknown_voice_is_named():
  with (
    synthesiser.Synthesiser() as speech,
    pytest.raises(RuntimeError, match="has no voice 'no-such'"),
  ):
    speech.speak({**REQUEST, 'voice': 'no-such'})


@pytest.mark.parametrize(
  ('loader', 'said'),
  [
    ('raise ImportError("no such package")', 'ImportError: no such package'),
    ('def get_library_path(): return "/dev/null"', 'OSError: /dev/null'),
    (
      'import pathlib\n'
      'def get_library_path():\n'
      '  (own,) = pathlib.Path(REAL).glob("*espeak-ng.so")\n'
      '  return str(own)\n'
      'def get_data_path(): return "/tmp/nothing"\n',
      'No such file',
    ),
  ],
)
def test_a_missing_or_wrong_library_is_named(
  loader, said, tmp_path, monkeypatch
):
  import espeakng_loader

  real = pathlib.Path(espeakng_loader.__file__).parent
  text = loader.replace('REAL', repr(str(real)))
  text = text.replace('/tmp/nothing', str(tmp_path / 'nothing' / 'data'))
  (tmp_path / 'espeakng_loader.py').write_text(text)
  monkeypatch.setattr(sys, 'path', [str(tmp_path), *sys.path])
  config = synthetic_corpus.SyntheticConfig(clients=3, seed=0)
  before = set(children(os.getpid()))
  with pytest.raises(RuntimeError, match='synthesiser failed') as error:
    list(synthetic_corpus.Synthetic(config).items())
  assert said in str(error.value)
  assert not set(children(os.getpid())) - before


def test_a_process_that_was_killed_is_an_error():
  before = set(children(os.getpid()))
  with synthesiser.Synthesiser() as speech:
    speech.speak(REQUEST)
    (process,) = set(children(os.getpid())) - before
    os.kill(process, signal.SIGKILL)
    with pytest.raises(RuntimeError, match='exit status -9'):
      speech.speak(REQUEST)
