import dataclasses
import itertools
import json
import os
import sqlite3
import subprocess
import sys

from hypothesis import given, settings
from hypothesis import strategies as st
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_federated as tff

from tests import stores
from tff_asr import checksums, errors
from tff_asr.corpora import batching, client_store, queries, utterance


@settings(max_examples=5, deadline=None)
@given(
  st.dictionaries(
    st.text('abcé"\'; %', min_size=1, max_size=5)
    .map(utterance.speaker_name)
    .filter(bool),
    st.lists(st.integers(4_800, 9_000), min_size=1, max_size=4),
    min_size=1,
    max_size=5,
  )
)
def test_what_goes_in_comes_out_by_client_shortest_first(
  tmp_path_factory, lengths
):
  given = {
    client: [
      stores.make(client, f'{client}-{i}', n) for i, n in enumerate(samples)
    ]
    for client, samples in lengths.items()
  }
  interleaved = sorted(
    itertools.chain(*given.values()), key=lambda u: u.utterance_id[::-1]
  )
  path = tmp_path_factory.mktemp('stores') / 'store'
  opened = stores.opened(path, interleaved)
  assert opened.client_ids == sorted(given)
  for client, expected in given.items():
    found = stores.records(opened, client)
    assert [len(audio) for *_, audio in found] == sorted(lengths[client])
    by_id = {name: (text, audio) for name, text, audio in found}
    for u in expected:
      text, audio = by_id[u.utterance_id]
      np.testing.assert_array_equal(audio, u.audio)
      assert text == u.text


def test_tffs_own_reader_reads_a_store(tmp_path):
  given = [stores.make('a', str(i), 9_000 - 100 * i) for i in range(3)]
  opened = stores.opened(tmp_path / 'store', [*given, stores.make('b', '9')])
  data = tff.simulation.datasets.load_and_parse_sql_client_data(
    str(opened.path / client_store.DATABASE), client_store.RECORD_SPECS['audio']
  )
  assert data.client_ids == ['a', 'b']
  names = [
    record['utterance_id'].numpy()
    for record in data.create_tf_dataset_for_client('a')
  ]
  assert names == [b'2', b'1', b'0']


def test_features_are_those_that_the_audio_would_give(tmp_path):
  given = [stores.make('a', str(i), 6_000 + 500 * i) for i in range(3)]
  examples = []
  for kind in client_store.KINDS:
    opened = stores.opened(tmp_path / kind, given, kind=kind)
    examples.append(batching.parse(opened.all_records(tf.constant('a'))))
  from_audio, from_features = examples
  for name, value in from_audio.items():
    np.testing.assert_allclose(value, from_features[name], atol=1e-5)


def test_the_records_of_a_client_come_at_once_or_one_by_one(tmp_path):
  given = [stores.make('a', str(i), 6_000 + 500 * i) for i in range(3)]
  opened = stores.opened(tmp_path / 'store', given)
  one_by_one = list(opened.records(tf.constant('a')).as_numpy_iterator())
  at_once = opened.all_records(tf.constant('a'))
  for name, values in at_once.items():
    assert list(values.numpy()) == [record[name] for record in one_by_one]
  of_nobody = opened.all_records(tf.constant('nobody'))
  assert {name: len(values) for name, values in of_nobody.items()} == {
    name: 0 for name in at_once
  }


def test_of_a_long_client_only_so_much_is_read_and_not_always_the_same(
  tmp_path,
):
  given = [stores.make('a', str(i), 8_000 + i) for i in range(20)]
  opened = stores.opened(tmp_path / 'store', [*given, stores.make('b', 'b')])
  seen = set()
  for _ in range(20):
    read = opened.records(tf.constant('a'), limits=[queries.Limit(2.25)])
    names = [r['utterance_id'].numpy() for r in read]
    # Utterances of half a second: five begin within 2.25 s.
    assert len(names) == len(set(names)) == 5
    assert names == sorted(names, key=int)
    seen.update(names)
  # One is left out of 20 draws with a probability of 0.75 ** 20 = 0.3 %, ten
  # or more with far less than 1e-9.
  assert len(seen) > 10
  assert (
    len(list(opened.records(tf.constant('b'), limits=[queries.Limit(2.25)])))
    == 1
  )


def test_a_seed_decides_what_is_drawn_of_a_long_client(tmp_path):
  """Either of two is as likely drawn; 5 standard errors of 400 are 12.5 %."""
  given = [stores.make('a', str(i), 8_000) for i in range(20)]
  opened = stores.opened(tmp_path / 'store', given)

  @tf.function(input_signature=[tf.TensorSpec([2], tf.int32)])
  def drawn(seed):
    limits = [queries.Limit(4.9)]
    return opened.all_records(tf.constant('a'), limits, seed)['utterance_id']

  seeds = np.random.default_rng(0).integers(2**31 - 1, size=[400, 2])
  found = [set(drawn(tf.constant(s, tf.int32)).numpy()) for s in seeds]
  assert {len(names) for names in found} == {10}
  for name in set.union(*found):
    assert np.mean([name in names for names in found]) == pytest.approx(
      0.5, abs=0.125
    )
  for names, seed in zip(found[:5], seeds, strict=False):
    assert names == set(drawn(tf.constant(seed, tf.int32)).numpy())


def test_what_is_drawn_is_within_every_limit(tmp_path):
  given = [stores.make('a', str(i), 16_000 * (1 + i)) for i in range(6)]
  opened = stores.opened(tmp_path / 'store', given)

  def drawn(*limits):
    found = stores.records(opened, 'a', limits)
    return sorted(len(audio) // 16_000 for *_, audio in found)

  assert drawn() == [1, 2, 3, 4, 5, 6]
  for _ in range(20):
    # Each counts as a second.
    assert len(drawn(queries.Limit(4.0, 1.0))) == 4
    assert len(drawn(queries.Limit(3.5, 1.0))) == 4
    assert len(drawn(queries.Limit(1.0))) == 1
    assert 1 <= len(drawn(queries.Limit(4.0, 1.0), queries.Limit(5.0))) <= 3
    seconds = drawn(queries.Limit(10.0))
    assert sum(seconds) >= 10 and sum(seconds) - max(seconds) < 10


def test_the_digest_names_the_content(tmp_path):
  items = [stores.make('a', '1', text='see'), stores.make('b', '2')]
  changed = [
    items,
    [stores.make('a', '1', text='sea'), items[1]],
    [stores.make('a', '1', text='see', seed=1), items[1]],
    [stores.make('c', '1', text='see'), items[1]],
    [dataclasses.replace(items[0], utterance_id='3'), items[1]],
  ]
  digests = {
    stores.opened(tmp_path / str(number), given).digest
    for number, given in enumerate(changed)
  }
  assert len(digests) == len(changed)
  again = stores.opened(tmp_path / 'again', items)
  assert again.digest in digests


def damage_version(path):
  metadata = json.loads((path / 'store.json').read_text())
  (path / 'store.json').write_text(json.dumps(metadata | {'version': 0}))


def damage_metadata(path):
  (path / 'store.json').write_text('{')


def damage_vocabulary(path):
  metadata = json.loads((path / 'store.json').read_text())
  metadata['vocabulary'] = {'type': 'runes'}
  (path / 'store.json').write_text(json.dumps(metadata))


def damage_database(path):
  (path / 'clients.sqlite').write_bytes(b'no database' * 1_000)


def lose_database(path):
  (path / 'clients.sqlite').unlink()


def lose_clients(path):
  with sqlite3.connect(path / 'clients.sqlite') as database:
    database.execute("DELETE FROM clients WHERE client_id = 'a'")


@pytest.mark.parametrize(
  ('damage', 'message'),
  [
    (damage_version, 'version 0'),
    (damage_metadata, 'store.json is damaged'),
    (damage_vocabulary, "'runes'"),
    (damage_database, 'cannot be read'),
    (lose_database, 'cannot be read'),
    (lose_clients, '1 client where'),
  ],
)
def test_a_store_that_cannot_be_trusted_is_refused(tmp_path, damage, message):
  path = tmp_path / 'store'
  stores.write(path, [stores.make('a', '1'), stores.make('b', '2')])
  (path / checksums.NAME).unlink()  # As of an earlier release.
  damage(path)
  with pytest.raises(errors.UserError, match=message):
    client_store.ClientStore(path)


def test_no_store_at_all(tmp_path):
  with pytest.raises(errors.UserError, match='prepare'):
    client_store.ClientStore(tmp_path / 'nowhere')


_WITHOUT_STORE = """
import pathlib, resource, shutil, sys
import tensorflow as tf
from tff_asr import errors
from tff_asr.corpora import client_store

opened = client_store.ClientStore(pathlib.Path(sys.argv[1]))
graph = tf.function(opened.all_records).get_concrete_function(
  tf.TensorSpec((), tf.string)
)
name = tf.constant('a')
streamed = tf.data.Dataset.from_tensors(name).flat_map(opened.records)
iterator = iter(streamed.repeat())
next(iterator)
graph(name)
if sys.argv[2] == 'folder':
  shutil.rmtree(opened.path)
else:  # No more descriptors than are open, of any number.
  soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
  resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
for read in (
  lambda: opened.all_records(name),
  lambda: list(opened.records(name)),
  lambda: graph(name),
  lambda: [next(iterator) for _ in range(99)],
):
  try:
    read()
  except (errors.UserError, tf.errors.OpError) as error:
    reason = errors.in_a_line(error)
    print('clients.sqlite cannot be read: unable to open' in reason)
if sys.argv[2] == 'descriptors':  # They may be back in the next round.
  resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
  print(len(graph(name)['text']))
"""


@pytest.mark.parametrize('gone', ['folder', 'descriptors'])
def test_a_database_that_cannot_be_opened_is_an_error_like_others(
  tmp_path, gone
):
  """TensorFlow's own reader ends the process with SIGSEGV."""
  stores.write(tmp_path / 'store', [stores.make('a', f'a-{i}') for i in '12'])
  done = subprocess.run(
    [sys.executable, '-c', _WITHOUT_STORE, tmp_path / 'store', gone],
    env={**os.environ, 'PYTHONPATH': os.pathsep.join(sys.path)},
    capture_output=True,
    text=True,
  )
  expected = ['True'] * 4 + ['2'] * (gone == 'descriptors')
  assert (done.returncode, done.stdout.split()) == (0, expected), done.stderr


def test_both_readers_read_the_same(tmp_path):
  opened = stores.opened(
    tmp_path / 'store', [stores.make("o'a", f'{i}', 16_000) for i in range(9)]
  )
  limits, seed = [queries.Limit(4.0)], tf.constant([5, 7])
  for name in "o'a", 'nobody':
    client = tf.constant(name)
    for arguments in (client,), (client, limits, seed):
      one, other = (
        opened.all_records(*arguments, portable=portable)
        for portable in (False, True)
      )
      for key, values in one.items():
        np.testing.assert_array_equal(values, other[key])


def test_the_records_of_another_store_are_not_taken_for_ones_own(tmp_path):
  """Without check sums, as of an earlier release."""
  for name, samples in ('one', 4_800), ('other', 4_801):
    stores.write(tmp_path / name, [stores.make('a', '1', samples)])
    (tmp_path / name / checksums.NAME).unlink()
  client_store.ClientStore(tmp_path / 'one').check_content()
  other = (tmp_path / 'other' / client_store.DATABASE).read_bytes()
  (tmp_path / 'one' / client_store.DATABASE).write_bytes(other)
  with pytest.raises(
    errors.UserError, match=r'is not the database that store\.json'
  ):
    client_store.ClientStore(tmp_path / 'one').check_content()
