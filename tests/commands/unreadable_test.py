"""No file that is read again can end a command in a traceback."""

import shutil

import pytest

from tff_asr import checksums, errors
from tff_asr.commands import export
from tff_asr.corpora import client_store
from tff_asr.models import model_folder
from tff_asr.reports import run_report
from tff_asr.runs import accounts, folders, lineage, records

CONTENTS = {
  'empty': b'',
  'no UTF-8': b'{"a": "\xff\xfe"}',
  'NUL': b'\0' * 40,
  'a list': b'[]',
  'a list of lists': b'[[1], {}]',
  'a word': b'"text"',
  'null': b'null',
  'no fields': b'{}',
  'other fields': b'{"a": 1, "rounds": "x", "train": 1, "names": 3}',
  'other kinds': (
    b'{"version": [], "encoder": 1, "type": 2, "trainings": [3], "name": 1,'
    b' "vocabulary": 7, "kind": {}, "clients": "x", "seconds": null,'
    b' "content": [], "rounds": {}, "wer": "x", "epsilon": [], "alphabet": 1}'
  ),
  'too deep': b'[' * 100_000,
  'a number': b'1e999',
  'text': 'schön\n--a\tb\n\n,,,\n'.encode(),
}


@pytest.fixture(scope='module')
def whole(finished, config, tmp_path_factory):
  """A finished run, and its stores, as of releases without check sums."""
  root = tmp_path_factory.mktemp('whole')
  shutil.copytree(finished[0], root / 'run')
  shutil.copytree(config.eval_store, root / 'eval')
  for path in root.rglob(checksums.NAME):
    path.unlink()
  return root


def readers(root):
  """Readers of the folder of a run or of a store."""
  run = root / 'run'
  paths = folders.RunPaths(run)
  return [
    lambda: export.provenance(records.read(run)),
    lambda: accounts.of_ledgers([run], 1e-6),
    lambda: lineage.of_run(run),
    lambda: folders.read_stores(run),
    lambda: folders.read_flags(paths.flags),
    lambda: folders.RunFolder(run, {'a': 'b'}, {}),
    lambda: model_folder.read_config(run),
    lambda: client_store.ClientStore(root / 'eval'),
  ]


FILES = [
  *('run/flags.txt', 'run/stores.json', 'run/summary.json', 'run/ledger.jsonl'),
  *('run/transcripts.tsv', 'run/metrics.csv'),
  *('run/model/model.json', 'run/model/vocabulary.json'),
  *('run/model/lineage.json', 'run/model/model.weights.h5'),
  *('run/seed_model/model.json', 'run/seed_model/lineage.json'),
  *('eval/store.json', 'eval/clients.sqlite'),
]


@pytest.mark.parametrize('name', FILES)
def test_what_is_not_as_it_was_written_is_named(whole, tmp_path, name):
  shutil.copytree(whole, tmp_path / 'root')
  root = tmp_path / 'root'
  read = readers(root)
  if 'model/' in name:
    read.append(lambda: model_folder.load(root / 'run'))
  refused = 0
  for kind, content in CONTENTS.items():
    (root / name).write_bytes(content)
    for i, reader in enumerate(read):
      try:
        reader()
      except errors.UserError as error:
        refused += 1
        assert '\n' not in str(error), (kind, i)
      except Exception as error:
        raise AssertionError(f'{name}: {kind}, reader {i}') from error
  assert refused


@pytest.mark.parametrize('kind', CONTENTS)
def test_a_report_of_a_damaged_summary_says_so(whole, tmp_path, kind):
  run = shutil.copytree(whole / 'run', tmp_path / 'run')
  (run / 'summary.json').write_bytes(CONTENTS[kind])
  with pytest.raises(errors.UserError, match=r'summary\.json is damaged'):
    run_report.again(run)
