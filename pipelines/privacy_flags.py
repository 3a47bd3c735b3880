"""Flags of the privacy plan: cohorts, clipping, noise, limit of epsilon."""

from collections.abc import Mapping
import pathlib
from typing import Any

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
_DEFAULT_CLIP_NORM = 0.03

_COHORT_SIZE = flags.DEFINE_integer(
  'cohort_size',
  16,
  'Number of clients in a round: the expected number with --sampling=poisson,'
  ' the exact number with fixed, about this number with none. With clipping,'
  ' the sum of the updates is divided by it.',
  lower_bound=1,
)
_SAMPLING = flags.DEFINE_enum(
  'sampling',
  schemes.DEFAULT,
  list(schemes.SCHEMES),
  f'Sampling scheme of the cohorts. {schemes.in_words()} Epsilon is computed'
  ' for this scheme.',
)
_OVER_SELECTION = flags.DEFINE_float(
  'over_selection',
  1.0,
  'Number of selected clients for each client of --cohort_size: 1.25 where a'
  ' fifth of the clients drop out. Epsilon counts all selected clients; the sum'
  ' of the updates is still divided by --cohort_size.',
  lower_bound=1.0,
)
_CLIENT_DROP_OUT = flags.DEFINE_float(
  'client_drop_out',
  0.0,
  'Probability that a selected client does not answer.',
  lower_bound=0.0,
)
_AVAILABLE_HOURS = flag_kinds.define_positive(
  'available_hours',
  24.0,
  'Each client is available this many hours a day, at hours that differ by'
  ' client; 24 for always. So the number of available clients follows the time'
  ' of day. With clipping, --sampling=poisson only.',
  upper_bound=24.0,
)
_ROUNDS_A_DAY = flags.DEFINE_integer(
  'rounds_a_day',
  24,
  'Number of rounds in a day, for --available_hours.',
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
  'Clipping of a client update: none, the whole update to one norm (global), or'
  ' each layer to its own bound (per_layer).',
)
_LAYER_GROUPS = flags.DEFINE_enum(
  'layer_groups',
  grouping.TENSOR,
  [grouping.TENSOR, grouping.BLOCK],
  'Layers of --clipping=per_layer: each tensor is a layer, or each block of'
  ' tensors.',
)
_LAYER_BOUNDS = flags.DEFINE_enum(
  'layer_bounds',
  bounds.DIM,
  bounds.NAMES,
  'Bounds of the layers with --clipping=per_layer: all equal (uniform), in'
  " proportion to the root of the layer's size (dim), adapted to a quantile of"
  ' the norms (adaptive), or from --layer_bounds_file (given).',
)
_LAYER_BOUNDS_FILE = flag_kinds.define_path(
  'layer_bounds_file',
  '',
  'File with the bound of each layer, for --layer_bounds=given. Each line holds'
  ' a name, a tab and a bound, as in the layer_bounds.tsv of a run with'
  ' adaptive bounds. The bounds decide --clip_norm.',
)
_CLIP_NORM = flags.DEFINE_float(
  'clip_norm',
  None,
  "Largest L2 norm of a client's whole update; with adaptive bounds, the norm"
  f' in the first round. By default {_DEFAULT_CLIP_NORM}, or the norm of the'
  ' bounds in --layer_bounds_file.',
)
_CLIPPING_MODE = flags.DEFINE_enum(
  'clipping_mode',
  clipping.CLIP,
  clipping.MODES,
  'Rule of clipping. clip leaves layers within their bounds unchanged.'
  ' normalise is the rule of the code published with the paper: if an update is'
  ' too long, every layer is scaled to its bound, up or down.',
)
_CLIP_QUANTILE = flags.DEFINE_float(
  'clip_quantile',
  0.5,
  'Share of the clients that adaptive bounds leave unclipped.',
)
_CLIP_ADAPTATION_RATE = flags.DEFINE_float(
  'clip_adaptation_rate',
  0.2,
  'Rate at which adaptive bounds change. After each round, a bound C becomes'
  ' C exp(-rate (share - quantile)): share is the noised share of the clients'
  ' within C, quantile is --clip_quantile.',
)
_CLIP_COUNT_STDDEV = flags.DEFINE_float(
  'clip_count_stddev',
  None,
  'Standard deviation of the noise on the count of unclipped clients in each'
  ' layer (adaptive bounds). By default a twentieth of the cohort, or more'
  ' where this noise would take over a tenth of the privacy budget.',
)
_NOISE_MULTIPLIER = flags.DEFINE_float(
  'noise_multiplier',
  None,
  'Standard deviation of the noise on the sum of the updates, divided by'
  f' --clip_norm; 0 for no privacy. By default {_DEFAULT_NOISE_MULTIPLIER},'
  ' unless --target_epsilon is given.',
  lower_bound=0,
)
_TARGET_EPSILON = flags.DEFINE_float(
  'target_epsilon',
  None,
  'Largest epsilon after all --rounds, together with the runs of'
  ' --prior_ledger. The run takes the least noise for this epsilon, instead of'
  ' --noise_multiplier.',
)
_NOISE_ALLOCATION = flags.DEFINE_enum(
  'noise_allocation',
  allocation.EQUAL,
  allocation.NAMES,
  'Allocation of the noise to the layers: the same noise on all coordinates'
  ' (equal), noise in proportion to the bound of each layer (per_layer), or the'
  ' least total noise at the same epsilon (optimal).',
)
_DELTA = flags.DEFINE_float(
  'delta',
  1e-9,
  'Delta of the guarantee. Choose less than one over the number of clients.',
)
_MAX_EPSILON = flags.DEFINE_float(
  'max_epsilon',
  None,
  'Limit of epsilon: the run stops before the round that would exceed this'
  ' limit.',
)
_PRIOR_LEDGER = flag_kinds.define_paths(
  'prior_ledger',
  [],
  'Run folders (or their ledger.jsonl) of earlier runs on the same clients,'
  ' separated by commas. The releases of these runs count towards epsilon. The'
  ' ledgers are read again after each round, because these runs may still be'
  ' running.',
)
_ACCOUNTING_COHORT_SIZE = flags.DEFINE_integer(
  'accounting_cohort_size',
  None,
  'Cohort of a hypothetical run with the same noise on the mean. The epsilon of'
  ' that run is reported beside the epsilon of this run.',
  lower_bound=1,
)
_ACCOUNTING_POPULATION = flags.DEFINE_integer(
  'accounting_population',
  None,
  'Population of the hypothetical run of --accounting_cohort_size: its number'
  ' of clients. Give both flags, or neither.',
  lower_bound=1,
)
_INSECURE_NOISE_SEED = flags.DEFINE_integer(
  'insecure_noise_seed',
  None,
  'Seed of noise that repeats, for debugging. The run then has no guarantee:'
  ' each epsilon is printed as none.',
  lower_bound=0,
  upper_bound=2**63 - 1,
)
_INSECURE_COHORT_SEED = flags.DEFINE_integer(
  'insecure_cohort_seed',
  None,
  'Seed of the cohorts, the order of their data and the dropout, for'
  ' experiments that repeat. Anyone with the seed knows the cohorts, so the'
  ' flag is refused together with a privacy guarantee.',
  lower_bound=0,
  upper_bound=2**63 - 1,
)
_RELEASE_UNPROTECTED_METRICS = flags.DEFINE_boolean(
  'release_unprotected_metrics',
  False,
  'Release figures on clients without noise, for research: the loss, the'
  ' numbers of clients that took part and failed, norms of updates. The'
  ' guarantee does not cover these figures.',
)


def resolved() -> dict[str, float | None]:
  """Returns the values of flags whose default may depend on other flags.

  Raises:
    UserError: If the file of layer bounds cannot be read.
  """
  noise_multiplier, clip_norm = _NOISE_MULTIPLIER.value, _CLIP_NORM.value
  if noise_multiplier is None and _TARGET_EPSILON.value is None:
    noise_multiplier = _DEFAULT_NOISE_MULTIPLIER
  if clip_norm is None:
    given = _given_bounds() if _CLIPPING.value != 'none' else {}
    clip_norm = bounds.total(given.values()) if given else _DEFAULT_CLIP_NORM
  return {
    'cohort_size': _COHORT_SIZE.value,
    'noise_multiplier': noise_multiplier,
    'clip_norm': clip_norm,
    'delta': _DELTA.value,
  }


def config(values: Mapping[str, Any]) -> settings.PrivacyConfig:
  """Returns the privacy settings.

  Args:
    values: The result of `resolved`.

  Raises:
    UserError: If the flags contradict each other.
  """
  return settings.PrivacyConfig(
    sampling=schemes.SamplingSettings(
      sampling=_SAMPLING.value,
      cohort_size=values['cohort_size'],
      over_selection=_OVER_SELECTION.value,
      availability=_availability(),
    ),
    mechanism=mechanisms.make(
      _MECHANISM.value,
      clipping=_clipping(values['clip_norm'])
      if _CLIPPING.value != 'none'
      else None,
      noise_multiplier=values['noise_multiplier'],
      noise_allocation=_NOISE_ALLOCATION.value,
      insecure_noise_seed=_INSECURE_NOISE_SEED.value,
    ),
    budget=settings.Budget(
      delta=values['delta'],
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
  if _AVAILABLE_HOURS.value == _AVAILABLE_HOURS.default:
    flag_kinds.require_default(_ROUNDS_A_DAY, 'give --available_hours as well')
    return None
  return available_hours.Daily(_AVAILABLE_HOURS.value, _ROUNDS_A_DAY.value)


def _given_bounds() -> dict[str, float]:
  file = _LAYER_BOUNDS_FILE.value
  return bounds.read(pathlib.Path(file)) if file else {}


def _clipping(clip_norm: float) -> layer_clipping.LayerClipping:
  return layer_clipping.LayerClipping(
    clip_norm=clip_norm,
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
