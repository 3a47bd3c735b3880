r"""Draws Gaussian noise on the integers, exact to 2^-109.

Clients send integers, so their sum is exact.  The noise is an integer, too.  So
no rounding of floating-point numbers separates the noise that the accountant
assumes from the noise that is added (Mironov, 2012; Holohan and
Braghin, 2021, arXiv 2107.10138; Canonne, Kamath and Steinke, 2020, arXiv
2004.00010).

The noise of a coordinate is N = X_0 + K X_1 + K^2 X_2.  The X_j are
independent, and X_j = k with a probability proportional to exp(-k^2 / 2 s^2).
K is 128, s is 256.

Claim.  For an integer vector x, x + N is a randomised rounding of x + G, where
G is normal with the standard deviation `STDDEV` on each coordinate.  So x + N
reveals nothing about x that x + G does not reveal.  Every bound on the privacy
of the Gaussian mechanism therefore holds for this mechanism, with any sampling
of clients and any composition of rounds.

Proof.  1. By Poisson's summation formula, for each real c,

  sum over k in K Z of exp(-(k - c)^2 / 2 t^2)
    = sqrt(2 pi) (t / K) (1 + 2 sum_{m >= 1} exp(-2 (pi m t / K)^2)
                                             cos(2 pi m c / K)).

For t / K >= 1.9999 this sum is the same for all c, up to a factor within
1 +- 2^-112.

2. Let A be a discrete Gaussian of scale a on K Z, and B one of scale b on Z.
Then

  P(A + B = v) ~ exp(-v^2 / 2 (a^2 + b^2))
                 sum over k in K Z of exp(-(k - c)^2 / 2 t^2),

with t = a b / sqrt(a^2 + b^2) and c = v a^2 / (a^2 + b^2).  With b = s and
a >= K s, t / K is at least 1.9999.  So, by 1, A + B is a discrete Gaussian of
scale sqrt(a^2 + b^2) on Z.  Hence N is a discrete Gaussian on Z of scale S,
with S^2 = s^2 (1 + K^2 + K^4).

3. Let G be normal with variance S^2 - 4.  Round y = x + G to the integer v with
a probability proportional to exp(-(v - y)^2 / 8).  By 1, with K = 1 and t = 2,
the sum of these weights does not depend on y.  So

  P(v) ~ integral of exp(-(y - x)^2 / 2 (S^2 - 4)) exp(-(v - y)^2 / 8) dy
       ~ exp(-(v - x)^2 / 2 S^2).

The rounding depends on y alone, and `STDDEV` is less than sqrt(S^2 - 4).

The factors add less than 2^-109 to epsilon for each coordinate and round.  For
2^28 coordinates in 2^11 rounds they add less than 2^-70.  Probabilities are
rounded to multiples of 2^-128.  This changes the distribution of a coordinate
by less than 2^-114 in total variation, and the distribution of 2^28 coordinates
in 2^11 rounds by less than 2^-75.

The random bits come from Philox, a generator that was not designed for
cryptography.  See `noise_seeds` for its seeds.
"""

from collections.abc import Sequence
import decimal
import functools
import math
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from tff_asr import tracing

_SCALE = 256  # s
_RATIO = 128  # K
_LEVELS = 3

STDDEV = (
  _SCALE
  * math.sqrt(sum(_RATIO ** (2 * level) for level in range(_LEVELS)))
  * (1.0 - 2.0**-40)  # Below sqrt(S^2 - 4) in spite of float64 rounding.
)
"""Standard deviation of the noise, in steps of the grid: about 2^22."""

# The alias method draws X_j from one column for each of its values, 16 scales
# to each side.  13 bits of a word choose a column.  The other 51 bits choose
# its upper or lower part; if they do not decide, 64 more bits do.
_COLUMN_BITS = 13
_COLUMNS = 2**_COLUMN_BITS
_WORD_BITS = 64
_HIGH_BITS = _WORD_BITS - _COLUMN_BITS
_TOTAL = 2 ** (_COLUMN_BITS + _HIGH_BITS + _WORD_BITS)
_DIGITS = 80  # Decimal digits of the probabilities; 39 would be enough.


class Table(NamedTuple):
  """Holds the alias table of X_j; each field is an int64 `[8192]`.

  Attributes:
    high: End of each column's lower part: its upper 51 bits, minus 2^50.
    low: End of each column's lower part: its lower 64 bits, minus 2^63.
    other: Value of each column's upper part.
  """

  high: np.ndarray | tf.Tensor
  low: np.ndarray | tf.Tensor
  other: np.ndarray | tf.Tensor


def masses() -> list[int]:
  """Returns the probabilities of X_j = -4096, -4095 ... in units of 2^-128."""
  half = _COLUMNS // 2
  with decimal.localcontext() as context:
    context.prec = _DIGITS
    weights = [
      (decimal.Decimal(-k * k) / (2 * _SCALE**2)).exp() for k in range(half)
    ]
    total = weights[0] + 2 * sum(weights[1:])
    found = [int((_TOTAL * w / total).to_integral_value()) for w in weights]
  symmetric = [0, *reversed(found[1:]), *found]
  symmetric[half] += _TOTAL - sum(symmetric)
  return symmetric


@functools.cache
def table() -> Table:
  """Returns the table of X_j (Vose's alias method, in exact integers)."""
  height = _TOTAL // _COLUMNS
  end = masses()
  other = list(range(_COLUMNS))
  short = [i for i, mass in enumerate(end) if mass < height]
  long = [i for i, mass in enumerate(end) if mass >= height]
  while short:
    column = short.pop()
    other[column] = long[-1]
    end[long[-1]] -= height - end[column]
    if end[long[-1]] < height:
      short.append(long.pop())
  # A full column has one value, so the comparison must not matter.
  end = [0 if other[i] == i else e for i, e in enumerate(end)]
  high, low = zip(*(divmod(e, 2**_WORD_BITS) for e in end), strict=True)
  return Table(
    np.array([h - 2 ** (_HIGH_BITS - 1) for h in high], np.int64),
    np.array([w - 2 ** (_WORD_BITS - 1) for w in low], np.int64),
    np.array(other, np.int64) - _COLUMNS // 2,
  )


def add_noise(
  totals: Sequence[tf.Tensor], seeds: Sequence[tf.Tensor]
) -> list[tf.Tensor]:
  """Adds the noise N to each coordinate of each tensor.

  Args:
    totals: int64 tensors, of any shapes.
    seeds: int64 `[2]` for each tensor, used for this tensor alone.

  Returns:
    int64 tensors, of the shapes of `totals`.
  """
  columns = [tf.constant(array) for array in table()]  # Once in a graph.
  return [
    tf.reshape(_add_noise(tf.reshape(total, [-1]), seed, *columns), total.shape)
    for total, seed in zip(totals, seeds, strict=True)
  ]


@functools.partial(
  tracing.once_per_shape,
  input_signature=[
    tf.TensorSpec(shape, tf.int64)
    for shape in ([None], [2], *[[_COLUMNS]] * len(Table._fields))
  ],
)
def _add_noise(total, seed, high, low, other):
  """Returns the sum of a vector and noise."""
  seeds = tf.unstack(tf.random.split(seed, 2, alg='philox'))
  shape = tf.concat([[_LEVELS], tf.shape(total)], 0)
  words = _words(shape, seeds[0])
  column = tf.bitwise.bitwise_and(words, _COLUMNS - 1)
  upper = tf.bitwise.right_shift(words, _COLUMN_BITS)
  end = tf.gather(high, column)
  tie = tf.equal(upper, end)
  # In one of 2^51 draws the first word does not decide.
  is_lower = tf.cond(
    tf.reduce_any(tie),
    lambda: (
      (upper < end) | (tie & (_words(shape, seeds[1]) < tf.gather(low, column)))
    ),
    lambda: upper < end,
  )
  values = tf.where(is_lower, column - _COLUMNS // 2, tf.gather(other, column))
  for level, value in enumerate(tf.unstack(values)):
    total += _RATIO**level * value
  return total


def _words(shape, seed):
  """Returns random bits, int64."""
  return tf.random.stateless_uniform(
    shape, seed, minval=None, maxval=None, dtype=tf.int64, alg='philox'
  )
