"""Flags of the privacy plan: cohorts, clipping, noise, budget."""

import pathlib

from absl import flags

from pipelines import flag_kinds
from tff_asr.privacy import settings
from tff_asr.privacy.mechanism import (
  allocation,
  bounds,
  clipping,
  grouping,
  layer_clipping,
  mechanisms,
)
from tff_asr.privacy.sampling import available_hours, schemes

_DEFAULT_NOISE_MULTIPLIER = 0.01
_DEFAULT_CLIP_NORM = 0.1

_COHORT_SIZE = flags.DEFINE_integer(
  'cohort_size',
  16,
  'Clients in a round: the expected number (poisson), which is the denominator'
  ' of the mean under clipping, or the exact one (fixed), or about the number'
  ' (none).',
  lower_bound=1,
)
_SAMPLING = flags.DEFINE_enum(
  'sampling',
  schemes.DEFAULT,
  list(schemes.SCHEMES),
  f'How cohorts are drawn. {schemes.in_words()} Epsilon is accounted for as is'
  ' drawn.',
)
_OVER_SELECTION = flags.DEFINE_float(
  'over_selection',
  1.0,
  'Clients selected for each of --cohort_size, for instance 1.25 where a fifth'
  ' drop out. Epsilon is accounted for with all who are selected; the mean is'
  ' still over --cohort_size.',
  lower_bound=1.0,
)
_CLIENT_DROP_OUT = flags.DEFINE_float(
  'client_drop_out',
  0.0,
  'Probability with which a selected client does not answer.',
  lower_bound=0.0,
)
_AVAILABLE_HOURS = flags.DEFINE_float(
  'available_hours',
  24.0,
  'Hours of a day at which a client can take part, each at hours of their own,'
  ' so that cohorts follow the time of day (poisson; all sampling without'
  ' --clipping); 24 for always.',
  lower_bound=0.0,
  upper_bound=24.0,
)
_ROUNDS_A_DAY = flags.DEFINE_integer(
  'rounds_a_day',
  24,
  'Rounds in a day (--available_hours).',
  lower_bound=2,
)
_MECHANISM = flags.DEFINE_enum(
  'mechanism',
  mechanisms.DEFAULT,
  list(mechanisms.MECHANISMS),
  f'The mechanism on client updates, after clipping. {mechanisms.in_words()}',
)
_CLIPPING = flags.DEFINE_enum(
  'clipping',
  'per_layer',
  ['none', 'global', 'per_layer'],
  'What of a client update is clipped.',
)
_LAYER_GROUPS = flags.DEFINE_enum(
  'layer_groups',
  grouping.TENSOR,
  [grouping.TENSOR, grouping.BLOCK],
  'What a layer is (per_layer): each tensor, or each block of tensors.',
)
_LAYER_BOUNDS = flags.DEFINE_enum(
  'layer_bounds',
  bounds.UNIFORM,
  bounds.NAMES,
  'Bounds of the layers (per_layer): all equal, by the root of the size,'
  ' following a quantile of the norms, or as in --layer_bounds_file.',
)
_LAYER_BOUNDS_FILE = flag_kinds.define_path(
  'layer_bounds_file',
  '',
  'Bounds by layer (given): on each line a name, a tab and a bound, as in the'
  ' layer_bounds.tsv of a run with adaptive bounds. --clip_norm follows.',
)
_CLIP_NORM = flags.DEFINE_float(
  'clip_norm',
  None,
  'Most that a client contributes, in L2 norm over all; at first, if adaptive.'
  f' By default {_DEFAULT_CLIP_NORM}, or as --layer_bounds_file has it.',
)
_CLIPPING_MODE = flags.DEFINE_enum(
  'clipping_mode',
  clipping.CLIP,
  clipping.MODES,
  'clip: layers within their bounds stay as they are. normalise: as the code'
  ' published with the paper, which scales every layer of too long an update to'
  ' its bound, up or down.',
)
_CLIP_QUANTILE = flags.DEFINE_float(
  'clip_quantile', 0.5, 'Share of clients that adaptive bounds leave unclipped.'
)
_CLIP_ADAPTATION_RATE = flags.DEFINE_float(
  'clip_adaptation_rate', 0.2, 'Step of adaptive bounds, in the exponent.'
)
_CLIP_COUNT_STDDEV = flags.DEFINE_float(
  'clip_count_stddev',
  None,
  'Noise on the count of unclipped clients of each layer (adaptive); by default'
  ' a twentieth of the cohort, or more where that would take over a tenth of'
  ' the budget.',
)
_NOISE_MULTIPLIER = flags.DEFINE_float(
  'noise_multiplier',
  None,
  'Noise on the sum of updates over clip_norm; 0 for no privacy; by default'
  f' {_DEFAULT_NOISE_MULTIPLIER}, unless --target_epsilon is given.',
  lower_bound=0,
)
_TARGET_EPSILON = flags.DEFINE_float(
  'target_epsilon',
  None,
  'Instead of --noise_multiplier: the least noise for which epsilon, after all'
  ' --rounds and with --prior_ledger, is at most this.',
)
_NOISE_ALLOCATION = flags.DEFINE_enum(
  'noise_allocation',
  allocation.EQUAL,
  allocation.NAMES,
  'The same noise on all coordinates, noise in proportion to the bound of the'
  ' layer, or the least noise in all at the same epsilon.',
)
_DELTA = flags.DEFINE_float(
  'delta',
  1e-9,
  'Delta at which epsilon is given, less than one over the population.',
)
_MAX_EPSILON = flags.DEFINE_float(
  'max_epsilon', None, 'The run stops before the round that would exceed this.'
)
_PRIOR_LEDGER = flag_kinds.define_paths(
  'prior_ledger',
  [],
  'Run folders (or their ledger.jsonl) of earlier runs on the same clients,'
  ' with commas: what they released counts as well. They are read again after'
  ' each round, as they may be at work.',
)
_ACCOUNTING_COHORT_SIZE = flags.DEFINE_integer(
  'accounting_cohort_size',
  None,
  'Cohort of a hypothetical run with the same noise on the mean, whose epsilon'
  ' is reported beside that of this run.',
  lower_bound=1,
)
_ACCOUNTING_POPULATION = flags.DEFINE_integer(
  'accounting_population',
  None,
  'Population of that hypothetical run.',
  lower_bound=1,
)
_INSECURE_NOISE_SEED = flags.DEFINE_integer(
  'insecure_noise_seed',
  None,
  'For debugging: noise that repeats. Nothing is guaranteed then, and every'
  ' epsilon reads none.',
  lower_bound=0,
  upper_bound=2**63 - 1,
)
_INSECURE_COHORT_SEED = flags.DEFINE_integer(
  'insecure_cohort_seed',
  None,
  'For experiments: the same cohorts, the same order of their data and the same'
  ' dropout in every run with this seed. Who knows it knows the cohorts, so it'
  ' is refused beside a guarantee.',
  lower_bound=0,
  upper_bound=2**63 - 1,
)
_RELEASE_UNPROTECTED_METRICS = flags.DEFINE_boolean(
  'release_unprotected_metrics',
  False,
  'For research: release figures on clients without noise (loss, how many took'
  ' part and failed, norms of updates). The guarantee does not cover them.',
)


def set_defaults() -> None:
  """Gives a value to flags whose default depends on others."""
  if _NOISE_MULTIPLIER.value is None and _TARGET_EPSILON.value is None:
    flags.FLAGS.noise_multiplier = _DEFAULT_NOISE_MULTIPLIER
  if _CLIP_NORM.value is None:
    given = _given_bounds() if _CLIPPING.value != 'none' else {}
    flags.FLAGS.clip_norm = (
      bounds.total(given.values()) if given else _DEFAULT_CLIP_NORM
    )


def config() -> settings.PrivacyConfig:
  """Returns what is promised, and how."""
  return settings.PrivacyConfig(
    sampling=schemes.SamplingSettings(
      sampling=_SAMPLING.value,
      cohort_size=_COHORT_SIZE.value,
      over_selection=_OVER_SELECTION.value,
      availability=_availability(),
    ),
    mechanism=mechanisms.make(
      _MECHANISM.value,
      clipping=_clipping() if _CLIPPING.value != 'none' else None,
      noise_multiplier=_NOISE_MULTIPLIER.value,
      noise_allocation=_NOISE_ALLOCATION.value,
      insecure_noise_seed=_INSECURE_NOISE_SEED.value,
    ),
    budget=settings.Budget(
      delta=_DELTA.value,
      target_epsilon=_TARGET_EPSILON.value,
      max_epsilon=_MAX_EPSILON.value,
      prior_ledger=tuple(map(pathlib.Path, _PRIOR_LEDGER.value)),
    ),
    client_drop_out=_CLIENT_DROP_OUT.value,
    accounting_cohort_size=_ACCOUNTING_COHORT_SIZE.value,
    accounting_population=_ACCOUNTING_POPULATION.value,
    insecure_cohort_seed=_INSECURE_COHORT_SEED.value,
    unprotected_metrics=_RELEASE_UNPROTECTED_METRICS.value,
  )


def _availability() -> available_hours.Daily | None:
  if _AVAILABLE_HOURS.value == 24.0:
    return None
  return available_hours.Daily(_AVAILABLE_HOURS.value, _ROUNDS_A_DAY.value)


def _given_bounds() -> dict[str, float]:
  file = _LAYER_BOUNDS_FILE.value
  return bounds.read(pathlib.Path(file)) if file else {}


def _clipping() -> layer_clipping.LayerClipping:
  return layer_clipping.LayerClipping(
    clip_norm=_CLIP_NORM.value,
    layer_groups=(
      grouping.MODEL if _CLIPPING.value == 'global' else _LAYER_GROUPS.value
    ),
    layer_bounds=_LAYER_BOUNDS.value,
    given_bounds=tuple(_given_bounds().items()),
    mode=_CLIPPING_MODE.value,
    quantile=_CLIP_QUANTILE.value,
    adaptation_rate=_CLIP_ADAPTATION_RATE.value,
    count_stddev=_CLIP_COUNT_STDDEV.value,
  )
