"""Names of the columns of metrics.csv.

Other places that have the same figure call it by the same name: the summary,
the lines of JSON, TensorBoard, and what TFF measures of a round.
"""

from collections.abc import Iterable, Mapping

from tff_asr.privacy import plans

ROUND = 'round'

# Of the held-out speakers.
WER = 'wer'
CER = 'cer'
EVAL_LOSS = 'eval_loss'

# Spent until the round: the smaller bound, and that of each accountant.
EPSILON = 'epsilon'
EPSILON_RDP = 'epsilon_rdp'
EPSILON_PLD = 'epsilon_pld'

# Of the clients, see `client_prefix`.
LOSS = 'loss'
UTTERANCES = 'utterances'
CLIENTS = 'clients'
FAILED = 'failed'
SECONDS = 'seconds/'
TRAINING = f'{SECONDS}train'
SAVING = f'{SECONDS}save'
EVALUATING = f'{SECONDS}evaluate'
MINUTES = 'minutes'  # Of the last call; only in the summary.

# By layer.
NORM = 'norm/'
BOUND = 'bound/'
CLIENT_NORM = 'client_norm/'

UNPROTECTED = 'unprotected/'


def client_prefix(plan: plans.PrivacyPlan | None) -> str | None:
  """Returns the prefix of the names of figures on clients.

  Durations are among these figures: how long training takes depends on who
  took part, and what follows in the same process on what training left behind.

  Args:
    plan: The plan of the run, if there is one.

  Returns:
    The prefix, or `None` if no such figure may be released.
  """
  if plan is None:
    return ''
  return UNPROTECTED if plan.unprotected_metrics else None


def both(name: str) -> tuple[str, str]:
  """Returns the names that a figure on clients has, without a plan and with."""
  return name, f'{UNPROTECTED}{name}'


def by_layer(
  prefix: str, layers: Iterable[str], values: Iterable[float]
) -> dict[str, float]:
  """Returns the figures of layers by the names of their columns."""
  return {
    f'{prefix}{layer}': float(value)
    for layer, value in zip(layers, values, strict=True)
  }


def of_layers(row: Mapping[str, float], prefix: str) -> dict[str, float]:
  """Returns the figures of a row that have a prefix, by layer."""
  return {
    name.removeprefix(prefix): value
    for name, value in row.items()
    if name.startswith(prefix)
  }
