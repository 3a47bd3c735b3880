"""On whose data a model was trained, for the runs that begin with it.

A guarantee would be false for speakers on whom the model that a run begins with
was trained without one, and incomplete for those whose data an earlier private
run has used.  So every model carries a record; it knows speakers by the store
they are in, and nothing of the same speakers in another store.
"""

from collections.abc import Iterable, Set
import dataclasses
import json
import pathlib

from tff_asr import errors
from tff_asr.models import model_folder

_FILE = 'lineage.json'


@dataclasses.dataclass(frozen=True)
class Training:
  """One training that went into a model.

  Attributes:
    store: What identifies the content of the store.
    unprotected: Its speakers to whom nothing was promised.
    ledger: Name of the ledger that counts what the others' data released.
  """

  store: str
  unprotected: tuple[str, ...] = ()
  ledger: str | None = None


Lineage = tuple[Training, ...]


def read(folder: pathlib.Path) -> Lineage:
  """Reads the record of the model in a folder; empty if there is none.

  Raises:
    UserError: If it is damaged.
  """
  path = folder / _FILE
  if not path.exists():
    return ()
  try:
    return tuple(
      Training(r['store'], tuple(r['unprotected']), r['ledger'])
      for r in json.loads(path.read_text())['trainings']
    )
  except (ValueError, KeyError, TypeError) as error:
    raise errors.UserError(
      f'{path} is damaged: it tells on whose data the model was trained.'
      ' Restore it, or take another model.'
    ) from error


def of_run(folder: pathlib.Path) -> Lineage:
  """Reads the record of a model, and of the run that it is from.

  The seed model of a run knows nothing of the rounds that began with it.

  Args:
    folder: A model's, or a run's.

  Raises:
    UserError: If a record is damaged.
  """
  folder = model_folder.find(folder)
  return read(folder) + read(model_folder.find(folder.parent))


def write(folder: pathlib.Path, lineage: Lineage) -> None:
  """Writes the record; call before the model itself is written."""
  folder.mkdir(parents=True, exist_ok=True)
  aside = folder / f'partial.{_FILE}'
  trainings = [dataclasses.asdict(training) for training in lineage]
  aside.write_text(json.dumps({'trainings': trainings}, indent=2) + '\n')
  aside.replace(folder / _FILE)


def unprotected(lineage: Lineage, store: str) -> set[str]:
  """Speakers of a store to whom a model's trainings promised nothing."""
  return {
    speaker
    for training in lineage
    if training.store == store
    for speaker in training.unprotected
  }


def has_promised(lineage: Lineage, store: str, speakers: Iterable[str]) -> bool:
  """Whether private trainings promised something to some of a store's speakers.

  Args:
    lineage: Of a model.
    store: What identifies the store.
    speakers: All that are in the store.
  """
  is_private = any(t.store == store and t.ledger for t in lineage)
  return is_private and not set(speakers) <= unprotected(lineage, store)


def check_evaluated(
  lineage: Lineage, store: str, speakers: Iterable[str], unprotected: bool
) -> None:
  """Checks that a model's error rates on a store break no promise.

  Args:
    lineage: Of the model.
    store: What identifies the store.
    speakers: All that are in the store.
    unprotected: Whether figures without noise were asked for.

  Raises:
    UserError: If something was promised to them, and they were not.
  """
  errors.require(
    unprotected or not has_promised(lineage, store, speakers),
    'A private run trained the model on clients of --eval_store: error rates on'
    ' them have no noise, and its guarantee does not cover them. Give a store'
    ' of other speakers, or --release_unprotected_metrics.',
  )


def check_told(lineage: Lineage, store: str, ledgers: Set[str]) -> None:
  """Checks that earlier private trainings on a store are accounted for.

  Args:
    lineage: Of the model that a run begins with.
    store: What identifies the run's store.
    ledgers: Names of the ledgers that the run was told of.

  Raises:
    UserError: If one is missing.
  """
  for training in lineage:
    if training.store == store and training.ledger:
      errors.require(
        training.ledger in ledgers,
        'The model of --seed_model was trained on the same clients by a private'
        ' run, whose epsilon comes on top: give that run as --prior_ledger.',
      )
