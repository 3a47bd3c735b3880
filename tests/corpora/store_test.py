import itertools
import json
import sqlite3

from hypothesis import given, settings
from hypothesis import strategies as st
import numpy as np
import pytest

from tff_asr import errors
from tff_asr.corpora import store, utterance


def make(client, name, samples=4_800, text='yes', seed=0):
  rng = np.random.default_rng([seed, samples])
  audio = rng.integers(-32768, 32768, samples, np.int16)
  return utterance.Utterance(client, name, audio, text)


@settings(max_examples=5, deadline=None)
@given(
  st.dictionaries(
    st.text('abcé"; %', min_size=1, max_size=5),
    st.lists(st.integers(4_000, 9_000), min_size=1, max_size=4),
    min_size=1,
    max_size=5,
  )
)
def test_what_goes_in_comes_out_by_client_shortest_first(
  tmp_path_factory, lengths
):
  given = {
    client: [make(client, f'{client}-{i}', n) for i, n in enumerate(samples)]
    for client, samples in lengths.items()
  }
  path = tmp_path_factory.mktemp('stores') / 'store'
  interleaved = sorted(
    itertools.chain(*given.values()), key=lambda u: u.utterance_id[::-1]
  )
  store.write(path, interleaved, 'test')
  opened = store.ClientStore(path)
  assert opened.client_ids == sorted(given)
  for client, expected in given.items():
    found = opened.utterances(client)
    assert [len(u.audio) for u in found] == sorted(lengths[client])
    by_id = {u.utterance_id: u for u in found}
    for u in expected:
      np.testing.assert_array_equal(by_id[u.utterance_id].audio, u.audio)
      assert by_id[u.utterance_id].text == u.text


def test_nothing_is_overwritten_and_nothing_is_left_of_a_failure(tmp_path):
  path = tmp_path / 'store'

  def fails():
    yield make('a', '1')
    raise RuntimeError('the reader broke')

  with pytest.raises(RuntimeError):
    store.write(path, fails(), 'test')
  with pytest.raises(errors.UserError, match='No usable'):
    store.write(path, [utterance.Skipped('a', '1', 'why')], 'test')
  assert list(tmp_path.iterdir()) == []
  store.write(path, [make('a', '1')], 'test')
  with pytest.raises(errors.UserError, match='exists already'):
    store.write(path, [make('b', '1')], 'test')
  assert store.ClientStore(path).client_ids == ['a']


def test_a_name_given_twice_is_skipped_the_second_time(tmp_path):
  summary = store.write(
    tmp_path / 'store', [make('a', '1'), make('a', '1', 5_000)], 'test'
  )
  assert summary.skipped == {'name given twice': 1}
  assert summary.utterances == 1


def test_a_speaker_name_that_tff_cannot_ask_for_is_skipped(tmp_path):
  summary = store.write(
    tmp_path / 'store', [make("o'hara", '1'), make('a', '2')], 'test'
  )
  assert summary.skipped == {'apostrophe in the speaker name': 1}


def test_the_summary_counts(tmp_path):
  summary = store.write(
    tmp_path / 'store',
    [make('a', '1', 16_000, 'one two'), make('b', '2', 8_000, 'three')],
    'test',
  )
  assert summary == store.Summary(2, 2, 1.5, 3, {})


def damage_version(path):
  metadata = json.loads((path / 'store.json').read_text())
  (path / 'store.json').write_text(json.dumps(metadata | {'version': 0}))


def damage_metadata(path):
  (path / 'store.json').write_text('{')


def damage_database(path):
  (path / 'clients.sqlite').write_bytes(b'no database' * 1_000)


def lose_database(path):
  (path / 'clients.sqlite').unlink()


def lose_clients(path):
  with sqlite3.connect(path / 'clients.sqlite') as database:
    database.execute("DELETE FROM client_metadata WHERE client_id = 'a'")


@pytest.mark.parametrize(
  ('damage', 'message'),
  [
    (damage_version, 'version 0'),
    (damage_metadata, 'no client store'),
    (damage_database, 'cannot be read'),
    (lose_database, 'cannot be read'),
    (lose_clients, '1 clients where'),
  ],
)
def test_a_store_that_cannot_be_trusted_is_refused(tmp_path, damage, message):
  path = tmp_path / 'store'
  store.write(path, [make('a', '1'), make('b', '2')], 'test')
  damage(path)
  with pytest.raises(errors.UserError, match=message):
    store.ClientStore(path)


def test_no_store_at_all(tmp_path):
  with pytest.raises(errors.UserError, match='prepare'):
    store.ClientStore(tmp_path / 'nowhere')
