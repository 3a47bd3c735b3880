"""The SQL of the draws from a client."""

import pytest
import tensorflow as tf

from tff_asr.corpora import queries

ALL = (
  'SELECT number FROM records WHERE client_id = {client}'
  ' ORDER BY samples, number'
)
# Two limits: 4 s in all, and 5 s where each record counts as at most 1 s.
DRAWN = (
  'SELECT number FROM (SELECT number, samples,'
  ' SUM(MIN(samples, 16000000000000)) OVER (ORDER BY key, number)'
  ' - MIN(samples, 16000000000000) AS start0,'
  ' SUM(MIN(samples, 16000)) OVER (ORDER BY key, number)'
  ' - MIN(samples, 16000) AS start1'
  ' FROM (SELECT number, samples, {key} AS key'
  ' FROM (SELECT number, samples, ROW_NUMBER() OVER (ORDER BY number) AS place'
  ' FROM records WHERE client_id = {client})))'
  ' WHERE start0 < 64000 AND start1 < 80000 ORDER BY samples, number'
)
SEEDED = (
  '((place + {seeds[0]}) % 2147483647) * ((place + {seeds[1]}) % 2147483647)'
  ' % 2147483647'
)
RECORDS = (
  'SELECT record FROM records WHERE number IN ({numbers})'
  ' ORDER BY samples, number'
)
LIMITS = [queries.Limit(4.0), queries.Limit(5.0, 1.0)]


@pytest.mark.parametrize('is_seeded', [False, True])
def test_the_query_of_numbers_has_named_parameters(is_seeded):
  key = SEEDED.format(seeds=(':seed0', ':seed1')) if is_seeded else 'RANDOM()'
  assert queries.numbers_query([], is_seeded) == ALL.format(client=':client')
  assert queries.numbers_query(LIMITS, is_seeded) == DRAWN.format(
    client=':client', key=key
  )


# Names with a quote, and with characters that a pattern, a template or a
# parameter would replace.
@pytest.mark.parametrize(
  ('name', 'literal'),
  [
    ('anna', "'anna'"),
    ("o'a''", "'o''a'''''"),
    (r':seed0 \1 {key} %s :client', r"':seed0 \1 {key} %s :client'"),
  ],
)
def test_the_query_of_records_is_complete(name, literal):
  def query(limits, seed=None):
    found = queries.records_query(limits, tf.constant(name), seed)
    return found.numpy().decode()

  drawn = DRAWN.replace('{client}', literal)
  assert query([]) == RECORDS.format(numbers=ALL.format(client=literal))
  assert query(LIMITS) == RECORDS.format(
    numbers=drawn.replace('{key}', 'RANDOM()', 1)
  )
  assert query(LIMITS, tf.constant([5, 7])) == RECORDS.format(
    numbers=drawn.replace('{key}', SEEDED.format(seeds=(5, 7)), 1)
  )
