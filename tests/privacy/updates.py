"""What tests of the queries share: updates, groups, statistics of noise.

Statistical checks fail by chance at most once in a billion runs.
"""

import math

from hypothesis import strategies as st
import numpy as np
import scipy.stats
import tensorflow as tf

from tff_asr.privacy.mechanism import grouping

LAYERS = {'a/kernel': 12, 'a/bias': 5, 'b/scale': 1}
SHAPES = [(3, 4), (5,), ()]
GROUPS = {name: grouping.group(LAYERS, name) for name in grouping.NAMES}
FALSE_ALARM = 1e-9

# Values that break careless arithmetic, and ordinary ones.
VALUES = st.one_of(
  st.floats(-10, 10, width=32),
  st.sampled_from([0.0, 1e30, -1e30, 3e38, 1e-30, 1e-45]),
)
BAD_VALUES = st.sampled_from([math.nan, math.inf, -math.inf])
BOUNDS = st.floats(1e-6, 1e6)


@st.composite
def updates(draw, values=VALUES):
  """Updates of three tensors, some of them with one bad value."""
  return [
    np.array(
      draw(st.lists(values, min_size=(n := math.prod(s)), max_size=n)),
      np.float32,
    ).reshape(s)
    for s in SHAPES
  ]


def spoilt(update, bad, layer):
  """The update with a bad value in one of its tensors."""
  tensors = [t.copy() for t in update]
  tensors[layer].flat[0] = bad
  return tensors


def contribution(query, update):
  """What one client adds to the sum, before any noise."""
  params = query.derive_sample_params(query.initial_global_state())
  return query.preprocess_record(params, tuple(map(tf.constant, update)))


def norm(tensors):
  """Joint L2 norm in float64."""
  squares = (np.sum(np.square(np.asarray(t, np.float64))) for t in tensors)
  return math.sqrt(math.fsum(map(float, squares)))


def by_group(tensors, members):
  """The tensors of each group."""
  return [
    [t for t, g in zip(tensors, members, strict=True) if g == group]
    for group in range(max(members) + 1)
  ]


def has_variance(sample, stddev, tests=1):
  """Chi-square test of the variance around zero, two-sided, one of `tests`."""
  statistic = np.sum(np.square(sample)) / stddev**2
  tail = FALSE_ALARM / 2 / tests
  low, high = scipy.stats.chi2.ppf([tail, 1 - tail], sample.size)
  return low <= statistic <= high


def has_mean_zero(sample, stddev, tests=1):
  """Two-sided test of the mean, one of `tests`."""
  z = np.mean(sample) * math.sqrt(sample.size) / stddev
  return 2 * scipy.stats.norm.sf(abs(z)) > FALSE_ALARM / tests


def is_gaussian(sample, stddev, tests=1):
  """Kolmogorov-Smirnov test, one of `tests`."""
  pvalue = scipy.stats.kstest(sample / stddev, 'norm').pvalue
  return pvalue > FALSE_ALARM / tests


def are_independent(samples):
  """Whether no pair of samples is correlated, in rank either."""
  pairs = len(samples) * (len(samples) - 1) // 2
  size = len(samples[0])
  threshold = scipy.stats.norm.isf(FALSE_ALARM / 4 / pairs) / math.sqrt(size)
  upper = np.triu_indices(len(samples), 1)
  plain = np.corrcoef(samples)[upper]
  ranked = np.corrcoef(scipy.stats.rankdata(samples, axis=1))[upper]
  return bool(max(np.abs(plain).max(), np.abs(ranked).max()) < threshold)
