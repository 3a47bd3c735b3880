"""The run of `train` without --train_store: synthetic speakers, a guarantee."""

from collections.abc import Mapping

from absl import flags

from tff_asr.commands import prepare
from tff_asr.corpora.readers.synthetic import synthetic_corpus

SPEAKERS = 4_048
_SEED_SPEAKERS = 48
CLIENTS = SPEAKERS - _SEED_SPEAKERS
# Values of flags that are not given, instead of their usual defaults.
DEFAULTS: Mapping[str, float] = {
  'seed_clients': _SEED_SPEAKERS,
  'cohort_size': 400,
  'rounds': 25,
  'noise_multiplier': 0.65,
  'delta': 1e-5,
}
_MEAN_UTTERANCES = 2.2
_EVAL_CLIENTS = 60
_EVAL_MEAN_UTTERANCES = 3.0


def in_words() -> str:
  """Returns the replaced defaults as flags."""
  return ' '.join(f'--{name}={value}' for name, value in DEFAULTS.items())


def values() -> dict[str, float]:
  """Returns the replaced defaults of the flags that were not given.

  --target_epsilon decides the noise, and takes the place of its multiplier.
  """
  given = {name for name in DEFAULTS if flags.FLAGS[name].present}
  if flags.FLAGS.target_epsilon is not None:
    given.add('noise_multiplier')
  return {name: v for name, v in DEFAULTS.items() if name not in given}


def train_store(seed: int) -> str:
  """Returns the folder of the clients' and the seed speakers' store.

  All numbers of seed speakers have the same store: a report of several runs
  finds the clients that they share.

  Args:
    seed: Seed of the speakers.

  Raises:
    UserError: If the cache of such stores cannot be used.
  """
  return _store(SPEAKERS, 2 * seed, _MEAN_UTTERANCES)


def eval_store(seed: int) -> str:
  """Returns the folder of the held-out speakers' store.

  Args:
    seed: Seed of the speakers.

  Raises:
    UserError: If the cache of such stores cannot be used.
  """
  return _store(
    *(_EVAL_CLIENTS, 2 * seed + 1, _EVAL_MEAN_UTTERANCES), held_out=True
  )


def _store(
  clients: int, seed: int, mean_utterances: float, held_out: bool = False
) -> str:
  config = synthetic_corpus.SyntheticConfig(
    clients,
    seed,
    mean_utterances=mean_utterances,
    held_out_voices=held_out,
  )
  return str(prepare.cached_synthetic(config))
