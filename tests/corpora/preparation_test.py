"""Making of stores: what is refused, counted and split."""

import os
import re

import numpy as np
import pytest

from tests import stores
from tests.stores import make
from tff_asr import errors
from tff_asr.corpora import client_store, store_summary, utterance


def test_the_summary_counts(tmp_path):
  summary = stores.write(
    tmp_path / 'store',
    [
      make('a', '1', 16_000, 'one two'),
      make('b', '2', 8_000, 'three'),
      utterance.Skipped('b', '3', 'lost'),
    ],
  )
  assert (summary.utterances, summary.words) == (2, 3)
  np.testing.assert_array_equal(summary.client_seconds, [1.0, 0.5])
  assert summary.skipped == {'lost': 1}
  listed = (tmp_path / 'store' / 'skipped.tsv').read_text().splitlines()
  assert listed[1:] == ['b\t3\tlost\t']


def test_nothing_is_overwritten_and_nothing_is_left_of_an_empty_corpus(
  tmp_path,
):
  path = tmp_path / 'store'
  with pytest.raises(errors.UserError, match=r'No usable.*1 why'):
    stores.write(path, [utterance.Skipped('a', '1', 'why')])
  with pytest.raises(errors.UserError, match='it is empty'):
    stores.write(path, [])
  assert list(tmp_path.iterdir()) == []
  stores.write(path, [make('a', '1')])
  with pytest.raises(errors.UserError, match='exists already'):
    stores.write(path, [make('b', '1')])
  assert client_store.ClientStore(path).client_ids == ['a']


@pytest.mark.parametrize(
  ('item', 'reason'),
  [
    (make('a', '1', text='again'), 'name given twice'),
    (make('a', 'x', text=''), 'empty transcript'),
    (make('a', 'x', text='route 66'), 'outside the vocabulary'),
    (make('a', 'x', text='été'), 'outside the vocabulary'),
    (make('a', 'x', samples=0), 'empty audio'),
    (make('a', 'x', samples=16_001), 'too long'),
    # Ten letters, two spaces, a blank in `ll` and in `ss`: 14 frames of 30 ms.
    (make('a', 'x', 6_959, 'hollowness'), 'transcript longer than its frames'),
    (make('a\x07', 'x'), 'unprintable name'),
    (make('', 'x'), 'no name'),
    (
      utterance.Utterance('a', 'x', np.full(9_000, 7, np.int16), 'hm'),
      'silent audio',
    ),
  ],
)
def test_what_no_model_can_learn_from_is_skipped_and_counted(
  tmp_path, item, reason
):
  summary = stores.write(
    tmp_path / 'store', [make('a', '1'), item], max_seconds=1.0
  )
  assert summary.skipped == {reason: 1}
  assert summary.utterances == 1


def test_only_regular_files_are_read(tmp_path):
  """A pipe might never end."""
  (tmp_path / 'folder').mkdir()
  os.mkfifo(tmp_path / 'pipe')
  names = ['folder', 'pipe', 'nothing']
  items = [
    utterance.Recording('a', name, tmp_path / name, 'yes') for name in names
  ]
  summary = stores.write(tmp_path / 'store', [make('a', '1'), *items])
  assert summary.skipped == {
    'audio file unreadable': 2,
    'audio file missing': 1,
  }


def test_a_frame_more_is_enough(tmp_path):
  fits = make('a', 'x', 6_960, 'hollowness')
  assert stores.write(tmp_path / 'store', [fits]).utterances == 1


@pytest.mark.parametrize(
  ('texts', 'expected'),
  [
    (
      ['नमस्ते', 'नमस्ते'],
      'instance, outside.*: x0.*न.*`vocabulary`',
    ),
    (['', ''], '2 empty transcript; for instance, empty transcript: x0'),
  ],
)
def test_where_most_is_left_out_it_says_why(tmp_path, texts, expected):
  lost = [make('a', f'x{i}', text=text) for i, text in enumerate(texts)]
  path = tmp_path / 'store'
  with pytest.raises(errors.UserError, match=expected):
    stores.write(path, lost)
  summary = stores.write(path, [make('a', '1'), *lost])
  assert re.search(expected, store_summary.reasons(summary))
  half = [make('a', f'{i}') for i in range(len(lost))]
  summary = stores.write(tmp_path / 'half', [*half, *lost])
  assert store_summary.reasons(summary) == ''


@pytest.mark.parametrize(
  'names',
  [
    ('anna', 'anna ', ' anna', 'anna\N{NO-BREAK SPACE}'),
    ('José', 'Jose\u0301'),
    ('Anna M', 'Anna  M', 'Ａnna\u3000M'),
    ('anna', 'anna\ufe0f', 'an\u034fna', 'anna\u3164', 'anna\u200b'),
    ('a-b', 'a\u2010b', 'a\u2013b'),
    ("O'Brien", 'O\u2019Brien'),
  ],
)
def test_a_speaker_is_one_client_however_the_name_is_written(tmp_path, names):
  items = [make(name, str(i)) for i, name in enumerate(names)]
  opened = stores.opened(tmp_path / 'store', items)
  assert len(opened.client_ids) == 1
  assert stores.Given(items).survey()[0] == opened.client_ids
