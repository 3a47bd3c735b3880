"""One speaker's presence changes nothing of another's records."""

import contextlib
import json
import sqlite3

from hypothesis import given, settings
from hypothesis import strategies as st
import numpy as np

from tests import stores
from tff_asr import errors
from tff_asr.corpora import client_store, holdouts, preparation, utterance

CONFIG = preparation.StoreConfig(stores.ENGLISH)
OTHERS = [f'c{i}' for i in range(5)]
ONE = 'one'


def audio(number):
  """One of few recordings, so that speakers share them."""
  return np.random.default_rng(number).integers(-9_000, 9_000, 4_800, np.int16)


def items_of(clients):
  """Names and audio that speakers share, and items that are left out."""
  spoken = st.builds(
    lambda client, name, number: utterance.Utterance(
      client, f'u{name}', audio(number), 'yes'
    ),
    clients,
    st.integers(0, 3),
    st.integers(0, 5),
  )
  lost = st.builds(utterance.Skipped, clients, st.just('u0'), st.just('lost'))
  return st.one_of(spoken, spoken, spoken, lost)


ITEMS = st.lists(items_of(st.sampled_from([*OTHERS, ONE])), max_size=25)
DRAWS = st.one_of(
  st.none(),
  st.builds(holdouts.Holdout, st.sampled_from([1, 2, 0.3]), st.integers(0, 99)),
)


def said(path):
  """What a store says of itself, but for its name."""
  found = json.loads((path / 'store.json').read_text())
  del found['name']
  return found


def rows(path, query, *values):
  with contextlib.closing(
    sqlite3.connect(path / client_store.DATABASE)
  ) as opened:
    return opened.execute(query, values).fetchall()


def of_client(path, client):
  """All of a client, in the order that readers see."""
  return [
    rows(path, f'SELECT {columns} WHERE client_id = ? ORDER BY number', client)
    for columns in (
      'client_id, utterance_id, samples, words, record FROM records',
      'client_id, utterance_id, reason, detail FROM skipped',
    )
  ]


def all_of(path):
  """Everything in a store, but for its name."""
  return [
    said(path),
    (path / client_store.SKIPPED).read_bytes(),
    rows(path, 'SELECT * FROM records ORDER BY number'),
    rows(path, 'SELECT * FROM clients ORDER BY client_id'),
    rows(path, 'SELECT position, fingerprint, settings FROM progress'),
  ]


@settings(max_examples=60, deadline=None)
@given(ITEMS, DRAWS)
def test_without_a_training_speaker_the_others_have_the_same(
  tmp_path_factory, items, draw
):
  # All are there, whatever the items, and have something of their own.
  items = [
    *items,
    *(stores.make(client, f'{client}-own') for client in [*OTHERS, ONE]),
  ]
  try:
    if draw and ONE in draw.split([*OTHERS, ONE]):
      return
  except errors.UserError:
    return
  folder = tmp_path_factory.mktemp('neighbours')
  rest = [item for item in items if item.client_id != ONE]
  for given_items, name in (items, 'with'), (rest, 'without'):
    source = stores.Given(given_items)
    preparation.prepare(source, folder / name, CONFIG, draw)
  for client in OTHERS:
    there, absent = folder / 'with', folder / 'without'
    assert of_client(there, client) == of_client(absent, client)
  if draw:
    there, absent = folder / 'with-holdout', folder / 'without-holdout'
    assert all_of(there) == all_of(absent)


def test_speakers_of_one_store_keep_what_they_share(tmp_path):
  items = [
    utterance.Utterance('a', '1', audio(1), 'yes'),
    utterance.Utterance('b', '1', audio(1), 'yes'),
    utterance.Utterance('b', '2', audio(2), 'yes'),
    utterance.Utterance('b', '3', audio(2), 'yes'),  # Nobody else's.
  ]
  summary = stores.write(tmp_path / 'store', items)
  assert (summary.utterances, summary.shared) == (4, 2)
  alone = stores.write(tmp_path / 'alone', items[2:])
  assert (alone.utterances, alone.shared) == (2, 0)


def test_what_a_held_out_speaker_said_is_not_trained_on(tmp_path):
  """Whoever comes first; and the held-out speaker keeps it."""
  draw = holdouts.Holdout(1, 0)
  clients = [f'c{i}' for i in range(3)]
  (held,) = draw.split(clients)
  first, second = sorted({*clients} - {held})
  items = [
    utterance.Utterance(first, '1', audio(1), 'yes'),
    utterance.Utterance(held, '1', audio(1), 'yes'),
    utterance.Utterance(second, '1', audio(1), 'yes'),
    *(stores.make(client, f'{client}-own') for client in clients),
  ]
  trained, evaluated = preparation.prepare(
    stores.Given(items), tmp_path / 'store', CONFIG, draw
  )
  assert trained.skipped == {'same audio under a held-out speaker': 2}
  assert (trained.utterances, evaluated.utterances) == (2, 2)
  listed = (tmp_path / 'store' / 'skipped.tsv').read_text().splitlines()
  assert listed[1:] == [
    f'{client}\t1\tsame audio under a held-out speaker\t{held}'
    for client in (first, second)
  ]
