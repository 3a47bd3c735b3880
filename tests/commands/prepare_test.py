"""The table of `prepare`, and its store of synthetic speakers."""

import os
import subprocess
import sys

from tests import stores
from tff_asr.commands import prepare

_PROGRAM = """
import sys
sys.path[:0] = {path!r}
from tff_asr.commands import prepare
from tff_asr.corpora.readers.synthetic import synthetic_corpus
config = synthetic_corpus.SyntheticConfig(clients=4, seed=0)
print(prepare.cached_synthetic(config))
"""


def test_calls_at_once_make_the_store_once(tmp_path):
  program = _PROGRAM.format(path=sys.path)
  calls = [
    subprocess.Popen(
      [sys.executable, '-c', program],
      env={**os.environ, 'XDG_CACHE_HOME': str(tmp_path)},
      stdout=subprocess.PIPE,
      stderr=subprocess.PIPE,
      text=True,
    )
    for _ in range(3)
  ]
  ends = [call.communicate() for call in calls]
  assert [call.returncode for call in calls] == [0] * 3, ends
  (made,) = (tmp_path / 'tff_asr').iterdir()
  assert {out.splitlines()[-1] for out, _ in ends} == {str(made)}


def test_the_table_counts_what_speakers_share(tmp_path):
  same = [stores.make(client, '1') for client in 'ab']
  shared = stores.write(tmp_path / 'shared', same)
  assert 'shared      2 utterances' in prepare.table([shared])
  alone = stores.write(tmp_path / 'alone', same[1:])
  assert 'shared' not in prepare.table([alone])
