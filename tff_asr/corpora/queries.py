"""Queries for the records of a client, and reading them in Python.

TensorFlow's own reader of SQLite kills its process where a database cannot be
opened.
"""

from collections.abc import Callable, Sequence
import dataclasses
import sqlite3

import numpy as np
import tensorflow as tf

from tff_asr.audio import features

OfNumbers = Callable[[sqlite3.Connection, Sequence[int]], np.ndarray]


@dataclasses.dataclass(frozen=True)
class Limit:
  """How much is drawn of a client: utterances until they sum up to `seconds`.

  Attributes:
    seconds: The sum.
    longest: An utterance counts with at most this.
  """

  seconds: float
  longest: float = 1e9


# SQL for a number of each record, by whose order they are drawn.
#
# From a seed it is a polynomial over a prime field whose coefficients follow
# from the seed: of two records, either is as likely the first.  It is of the
# record's place among those of its client: its number depends on other clients.
_PRIME = 2**31 - 1
CHANCE = {
  False: 'RANDOM()',
  True: (
    f'((place + :seed0) % {_PRIME}) * ((place + :seed1) % {_PRIME}) % {_PRIME}'
  ),
}


def query(limits: Sequence[Limit], client, chance) -> list:
  """Returns SQL for the numbers of a client's records in order, in pieces.

  Args:
    limits: Of a client with more, records drawn within all of these.
    client: The client, SQL or a string `[]`.
    chance: One of `CHANCE`, or a string `[]`.
  """
  order = ' ORDER BY samples, number'
  if not limits:
    return ['SELECT number FROM records WHERE client_id = ', client, order]
  each = [_start(i, limit) for i, limit in enumerate(limits)]
  starts, bounds = zip(*each, strict=True)
  return [
    f'SELECT number FROM (SELECT number, samples, {", ".join(starts)} FROM'
    ' (SELECT number, samples, ',
    chance,
    ' AS chance FROM (SELECT number, samples, ROW_NUMBER() OVER (ORDER BY'
    ' number) AS place FROM records WHERE client_id = ',
    client,
    f'))) WHERE {" AND ".join(bounds)}{order}',
  ]


def themselves(
  connection: sqlite3.Connection, numbers: Sequence[int]
) -> np.ndarray:
  """Returns the numbers, int64 `[records]`."""
  del connection
  return np.array(numbers, np.int64)


def records_of(
  connection: sqlite3.Connection, numbers: Sequence[int]
) -> np.ndarray:
  """Reads records, without the sorting that would copy them once more.

  Returns:
    bytes `[records]`.
  """
  found = []
  for number in numbers:
    with connection.blobopen(
      'records', 'record', int(number), readonly=True
    ) as blob:
      found.append(blob.read())
  return np.array(found, object)


# TensorFlow keeps a function as long as the graph in which it was called, and
# TFF runs copies of that graph.
_FUNCTIONS = []


def in_python(
  function: Callable[..., np.ndarray],
  arguments: Sequence[tf.Tensor],
  dtype: tf.DType,
) -> tf.Tensor:
  """Calls a function of arrays, here and now or in a graph.

  Args:
    function: Gives an array `[n]`; keeps nothing from one call to the next.
    arguments: Of the function, any shapes.
    dtype: Of its result.

  Returns:
    `[n]`.
  """
  if tf.executing_eagerly():
    values = [tf.convert_to_tensor(argument).numpy() for argument in arguments]
    return tf.constant(function(*values), dtype)
  unconverted = tf.autograph.experimental.do_not_convert(function)
  result = tf.numpy_function(unconverted, arguments, dtype, stateful=False)
  _FUNCTIONS.append(unconverted)
  result.set_shape([None])
  return result


def _start(i: int, limit: Limit) -> tuple[str, str]:
  """SQL for where an utterance starts by a limit's count, and for its bound."""
  seconds, longest = (
    round(features.SAMPLE_RATE * value)
    for value in (limit.seconds, limit.longest)
  )
  length = f'MIN(samples, {longest})'
  start = f'SUM({length}) OVER (ORDER BY chance, number) - {length}'
  return f'{start} AS start{i}', f'start{i} < {seconds}'
