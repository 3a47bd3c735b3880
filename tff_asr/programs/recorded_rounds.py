"""Limits the rounds of a run by its plan and budget, and records them."""

from tff_asr.privacy import plans
from tff_asr.privacy.accounting import accountants, ledger


class RecordedRounds:
  """Records the rounds of a private run and keeps epsilon in the budget."""

  def __init__(
    self,
    plan: plans.PrivacyPlan,
    run_ledger: ledger.Ledger,
    max_epsilon: float | None = None,
  ):
    """Initializes the rounds.

    Args:
      plan: The privacy plan of the run.
      run_ledger: The ledger of the run.
      max_epsilon: Largest allowed epsilon, `None` for no limit.
    """
    self._plan = plan
    self._ledger = run_ledger
    self._max_epsilon = max_epsilon
    self._last: int | None = None

  def check_fits(self, number: int, entry: str) -> None:
    """Raises a `UserError` unless a checkpoint belongs to this ledger."""
    self._ledger.check_fits(number, entry)

  def last_round(self, done: int) -> int:
    """Returns the last round within the plan and the budget, at least `done`.

    The budget also counts the releases of the earlier runs, which may still be
    running.

    Args:
      done: Number of rounds done.

    Raises:
      UserError: If the ledgers of the earlier runs cannot be read, or are
        forks.
    """
    if self._ledger.read_priors() or self._last is None:
      self._last = self._allowed(done)
    return max(done, self._last)

  def _allowed(self, done: int) -> int:
    low, high = done, max(done, self._plan.rounds)
    if self._max_epsilon is None:
      return high
    while low < high:
      middle = (low + high + 1) // 2
      further = (self._plan.release(n) for n in range(done + 1, middle + 1))
      epsilons = accountants.epsilons(
        self._ledger.releases(further), self._plan.relation, self._plan.delta
      )
      if epsilons.best <= self._max_epsilon:
        low = middle
      else:
        high = middle - 1
    return low

  def record(self, number: int) -> str:
    """Records a round before its release; returns the id of the entry."""
    return self._ledger.append(number, self._plan.release(number))


class UnrecordedRounds:
  """Limits the rounds of a run without a privacy plan; records nothing."""

  def __init__(self, rounds: int):
    self._rounds = rounds

  def check_fits(self, number: int, entry: str) -> None:
    del number, entry

  def last_round(self, done: int) -> int:
    return max(done, self._rounds)

  def record(self, number: int) -> str:
    del number
    return ''
