"""SQL queries for the records of a client, and their execution in Python.

TensorFlow's own reader of SQLite kills its process if it cannot open a
database.
"""

from collections.abc import Callable, Sequence
import dataclasses
import re
import sqlite3

import numpy as np
import tensorflow as tf

from tff_asr.audio import features

OfNumbers = Callable[[sqlite3.Connection, Sequence[int]], np.ndarray]


@dataclasses.dataclass(frozen=True)
class Limit:
  """A limit of a draw: utterances are drawn until they sum up to `seconds`.

  Attributes:
    seconds: Sum of the lengths in seconds.
    longest: Greatest length of an utterance in this sum, in seconds.
  """

  seconds: float
  longest: float = 1e9


# The numbers of all records of a client, shortest first.
_ALL = (
  'SELECT number FROM records WHERE client_id = :client'
  ' ORDER BY samples, number'
)
# The numbers of records drawn at random within limits, shortest first.
#
# Holes: `starts` and `bounds` have an entry for each limit; the random number
# `key` is the order of the draw.  `place` counts the client's records.
_DRAWN = (
  'SELECT number FROM ('
  'SELECT number, samples, {starts} FROM ('
  'SELECT number, samples, {key} AS key FROM ('
  'SELECT number, samples, ROW_NUMBER() OVER (ORDER BY number) AS place'
  ' FROM records WHERE client_id = :client)))'
  ' WHERE {bounds} ORDER BY samples, number'
)
# The length of the records drawn before a record, in samples, and its bound.
_START = (
  'SUM(MIN(samples, {longest})) OVER (ORDER BY key, number)'
  ' - MIN(samples, {longest}) AS start{i}'
)
_BOUND = 'start{i} < {samples}'
_UNSEEDED_KEY = 'RANDOM()'
# A polynomial over a prime field with coefficients from the seed: of two
# records, either is equally likely to be the first.  It uses a record's place
# among the client's records, because its number depends on other clients.
_PRIME = 2**31 - 1
_SEEDED_KEY = (
  f'((place + :seed0) % {_PRIME}) * ((place + :seed1) % {_PRIME}) % {_PRIME}'
)
# The records of numbers, shortest first.
_RECORDS = (
  'SELECT record FROM records WHERE number IN ({numbers})'
  ' ORDER BY samples, number'
)


def numbers_query(limits: Sequence[Limit], is_seeded: bool) -> str:
  """Returns SQL for the numbers of a client's records, shortest first.

  Args:
    limits: Limits of the draw from a client with more audio.
    is_seeded: Whether a seed decides the draw; otherwise SQLite draws.

  Returns:
    SQL with the parameters `:client` and, for a seeded draw, `:seed0` and
    `:seed1`.
  """
  if not limits:
    return _ALL
  starts, bounds = [], []
  for i, limit in enumerate(limits):
    samples, longest = (
      round(features.SAMPLE_RATE * seconds)
      for seconds in (limit.seconds, limit.longest)
    )
    starts.append(_START.format(longest=longest, i=i))
    bounds.append(_BOUND.format(samples=samples, i=i))
  return _DRAWN.format(
    starts=', '.join(starts),
    key=_SEEDED_KEY if is_seeded else _UNSEEDED_KEY,
    bounds=' AND '.join(bounds),
  )


def records_query(
  limits: Sequence[Limit], client_id: tf.Tensor, seed: tf.Tensor | None
) -> tf.Tensor:
  """Returns SQL for a client's records, shortest first, without parameters.

  TensorFlow's reader of SQLite takes no parameters.

  Args:
    limits: Limits of the draw from a client with more audio.
    client_id: string `[]`.
    seed: int32 `[2]`, not negative, or `None` if SQLite draws.

  Returns:
    string `[]`.
  """
  escaped = tf.strings.regex_replace(client_id, "'", "''")
  values = {'client': tf.strings.join(["'", escaped, "'"])}
  if seed is not None:
    for i, number in enumerate(tf.unstack(tf.strings.as_string(seed))):
      values[f'seed{i}'] = number
  query = _RECORDS.format(numbers=numbers_query(limits, seed is not None))
  # Every second piece is the name of a parameter.
  pieces = re.split(r':(\w+)', query)
  pieces[1::2] = [values[name] for name in pieces[1::2]]
  return tf.strings.join(pieces)


def themselves(
  connection: sqlite3.Connection, numbers: Sequence[int]
) -> np.ndarray:
  """Returns the given numbers, int64 `[records]`."""
  del connection
  return np.array(numbers, np.int64)


def records_of(
  connection: sqlite3.Connection, numbers: Sequence[int]
) -> np.ndarray:
  """Reads the records of numbers; a sort in SQL would copy them once more.

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


# TensorFlow deletes a function with the graph that called it, and TFF runs
# copies of that graph later: this list keeps the functions.
_FUNCTIONS = []


def in_python(
  function: Callable[..., np.ndarray],
  arguments: Sequence[tf.Tensor],
  dtype: tf.DType,
) -> tf.Tensor:
  """Calls a Python function of arrays, immediately or in a graph.

  Args:
    function: Returns an array `[n]`; has no state.
    arguments: Arguments of the function, any shapes.
    dtype: Type of the result.

  Returns:
    Tensor `[n]`.
  """
  if tf.executing_eagerly():
    values = [tf.convert_to_tensor(argument).numpy() for argument in arguments]
    return tf.constant(function(*values), dtype)
  unconverted = tf.autograph.experimental.do_not_convert(function)
  result = tf.numpy_function(unconverted, arguments, dtype, stateful=False)
  _FUNCTIONS.append(unconverted)
  result.set_shape([None])
  return result
