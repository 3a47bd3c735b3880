"""States the joint guarantee of several runs on the same clients.

To choose one of several runs by their results, a person has to see all of the
results.  The clients of the chosen run then have the joint epsilon of all runs,
not the epsilon of that run alone.
"""

from collections.abc import Sequence
import math
from typing import NamedTuple

from tff_asr import counts, errors
from tff_asr.privacy import plan_words
from tff_asr.privacy.accounting import accountants, earlier_runs
from tff_asr.runs import accounts as account_lib
from tff_asr.runs import lineage, records


def in_words(
  runs: Sequence[records.RunRecord], names: Sequence[str]
) -> list[str]:
  """Returns paragraphs on the runs that share a store of clients.

  Args:
    runs: The runs; the result is empty if no two runs share a store.
    names: Names of the runs, for the text.
  """
  by_store: dict[str, list[_Named]] = {}
  for name, run in zip(names, runs, strict=True):
    if run.rows or run.summary or run.account.plan:  # It has begun.
      store = run.stores.get('train', '')
      by_store.setdefault(store, []).append(_Named(name, run))
  return [
    paragraph
    for group in by_store.values()
    if len(group) > 1
    for paragraph in _of_store(group)
  ]


class _Named(NamedTuple):
  name: str
  run: records.RunRecord


def _of_store(runs: Sequence[_Named]) -> list[str]:
  private = [named for named in runs if _promises(named.run)]
  others = [named for named in runs if not _promises(named.run)]
  if not private:
    return [
      f'{_names(runs)} trained on the same store, without any guarantee. A'
      ' choice among these runs has no guarantee either.'
    ]
  paragraphs = []
  if len(private) > 1:
    paragraphs.append(_joint(private))
  if others:
    paragraphs.append(
      f'{_names(others)} trained on the same store without a guarantee. A'
      ' choice of settings or of a model by these results has no guarantee,'
      ' whatever the epsilon of the chosen run.'
    )
  shown = [named for named in private if named.run.account.is_unprotected]
  if shown:
    paragraphs.append(
      f'{_names(shown)} released figures on the clients without noise'
      ' (UNPROTECTED). No epsilon holds for a reader who has seen these'
      ' figures.'
    )
  old = [
    named
    for named in private
    if account_lib.old_ledger_note(named.run.account.ledger)
  ]
  if old:
    note = account_lib.old_ledger_note(old[0].run.account.ledger)
    paragraphs.append(f'{_names(old)}: {note}')
  unknown = [n for n in private if lineage.UNKNOWN in n.run.lineage]
  if unknown:
    paragraphs.append(
      f'The speakers that trained the models of {_names(unknown)} before the'
      ' rounds are unknown: a record is missing. Speakers that trained these'
      ' models without privacy have no guarantee.'
    )
  unprotected = [
    lineage.unprotected(n.run.lineage, n.run.clients_store) for n in private
  ]
  changing = set().union(*unprotected) - set.intersection(*unprotected)
  if changing:
    paragraphs.append(
      f'No guarantee for {counts.text(len(changing), "speaker")}, who trained'
      ' the seed model of some of the runs without privacy. In other runs they'
      ' are clients.'
    )
  return paragraphs


def _joint(runs: Sequence[_Named]) -> str:
  accounts = [named.run.account for named in runs]
  delta = min(account.plan.delta for account in accounts)
  relation = accounts[0].plan.relation
  try:
    releases = earlier_runs.released(
      [a.ledger.path for a in accounts], relation
    )
    epsilons = accountants.epsilons(releases, relation, delta)
  except errors.UserError as error:
    reason = str(error).replace('`', '')  # A page names no flags.
    for name, run in runs:  # The page that shows the reason has no paths.
      reason = reason.replace(str(run.paths.path), name)
    together = f'cannot be given ({reason})'
  else:
    together = (
      f'is {plan_words.epsilons_in_words(epsilons)}, at delta {delta:g}'
      if math.isfinite(epsilons.best)
      else 'is none'
    )
  return (
    f'{_names(runs)} trained on clients of the same store. The epsilon of each'
    ' run covers its own model, for a reader who has seen nothing of the other'
    ' runs. A person who chooses settings or a model by these results has seen'
    ' all of them. For a client who is in all runs, the joint epsilon'
    f' {together}. The chosen settings or model have this guarantee.'
  )


def _promises(run: records.RunRecord) -> bool:
  plan = run.account.plan
  return bool(plan and plan.is_guarantee)


def _names(runs: Sequence[_Named]) -> str:
  return ', '.join(named.name for named in runs)
