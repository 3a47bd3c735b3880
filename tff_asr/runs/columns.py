"""Names of the columns of metrics.csv.

The same figure has the same name in the summary, the lines of JSON, TensorBoard
and TFF's metrics of a round.
"""

from collections.abc import Iterable, Mapping

from tff_asr.privacy import plans

ROUND = 'round'

# Measured on the held-out speakers.
WER = 'wer'
CER = 'cer'
EVAL_LOSS = 'eval_loss'

# Spent until the round: the smaller bound, then the bound of each accountant.
EPSILON = 'epsilon'
EPSILON_RDP = 'epsilon_rdp'
EPSILON_PLD = 'epsilon_pld'

# Measured on the clients, see `client_prefix`.
LOSS = 'loss'
UTTERANCES = 'utterances'
CLIENTS = 'clients'
FAILED = 'failed'
SECONDS = 'seconds/'
TRAINING = f'{SECONDS}train'
SAVING = f'{SECONDS}save'
EVALUATING = f'{SECONDS}evaluate'
MINUTES = 'minutes'  # Of the last command; only in the summary.

# Prefixes of the figures of each layer.
NORM = 'norm/'
BOUND = 'bound/'
CLIENT_NORM = 'client_norm/'

UNPROTECTED = 'unprotected/'


def client_prefix(plan: plans.PrivacyPlan | None) -> str | None:
  """Returns the prefix of the column names of figures on clients.

  Durations are among these figures.  The duration of training depends on the
  clients that took part, and later durations in the same process depend on the
  state that training left behind.

  Args:
    plan: The plan of the run, or `None` without one.

  Returns:
    The prefix, or `None` if no figure on clients may be released.
  """
  if plan is None:
    return ''
  return UNPROTECTED if plan.unprotected_metrics else None


def both(name: str) -> tuple[str, str]:
  """Returns the names of a figure on clients: without a plan, and with one."""
  return name, f'{UNPROTECTED}{name}'


def by_layer(
  prefix: str, layers: Iterable[str], values: Iterable[float]
) -> dict[str, float]:
  """Returns the figures of layers by column name."""
  return {
    f'{prefix}{layer}': float(value)
    for layer, value in zip(layers, values, strict=True)
  }


def of_layers(row: Mapping[str, float], prefix: str) -> dict[str, float]:
  """Returns the figures of a row whose names have the prefix, by layer."""
  return {
    name.removeprefix(prefix): value
    for name, value in row.items()
    if name.startswith(prefix)
  }
