"""On whose data a model was trained, for the runs that begin with it.

A guarantee would be false for speakers on whom the model that a run begins with
was trained without one, and incomplete for those whose data an earlier private
run has used.  So every model carries a record; it knows speakers by the store
they are in, and nothing of the same speakers in another store.

Stores are known by their random names.  Earlier releases recorded a hash of all
clients' data instead, which is still understood, and told of them.

A model without a record, made elsewhere or handed on without it, may have been
trained on anybody.
"""

from collections.abc import Collection, Sequence, Set
import dataclasses
import json
import pathlib
import re

from tff_asr import checksums, errors, text_files
from tff_asr.corpora import client_store, store_names
from tff_asr.models import model_folder
from tff_asr.runs import folders

_FILE = 'lineage.json'


@dataclasses.dataclass(frozen=True)
class Training:
  """One training that went into a model.

  Attributes:
    store: Name of the store; of an earlier release, its content hash.
    unprotected: Its speakers to whom nothing was promised.
    ledger: Name of the ledger that counts what the others' data released.
  """

  store: str
  unprotected: tuple[str, ...] = ()
  ledger: str | None = None


Lineage = tuple[Training, ...]

UNKNOWN = Training('unknown')
"""Stands for the trainings of a model that has no record."""

_LACKING = f'no {_FILE} beside it, or beside a model that it began with'
_DECLARED = (
  'Restore it from a copy. Of a model from elsewhere, of which you know that no'
  f' speaker of your stores trained it, write {{"trainings": []}} to {_FILE}'
  ' beside it'
)


def read(folder: pathlib.Path) -> Lineage:
  """Reads the record of the model in a folder; empty without a model.

  Returns:
    The trainings; `UNKNOWN` if there is a model and no record.

  Raises:
    UserError: If it is damaged.
  """
  path = folder / _FILE
  if not path.exists():
    return (UNKNOWN,) if model_folder.is_complete(folder) else ()
  try:
    return tuple(
      Training(r['store'], tuple(r['unprotected']), r['ledger'])
      for r in text_files.read_json(path)['trainings']
    )
  except errors.UserError:
    raise
  except (ValueError, KeyError, TypeError) as error:
    raise errors.UserError(
      f'{path} is damaged: it tells on whose data the model was trained.'
      ' Restore it, or take another model.'
    ) from error


def require(folder: pathlib.Path) -> None:
  """Checks that a model of this program has its record.

  Raises:
    UserError: If it was removed.
  """
  path = folder / _FILE
  errors.require(
    path.is_file(),
    f'There is no {path}, which says on whose data the model was trained:'
    ' restore it from a copy.',
  )


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
  trainings = [dataclasses.asdict(training) for training in lineage]
  text = json.dumps({'trainings': trainings}, indent=2) + '\n'
  checksums.write(folder / _FILE, text)


def names_of(
  store: client_store.ClientStore, run_dir: pathlib.Path, promises: bool
) -> tuple[str, ...]:
  """Returns what a run calls the store of its clients, the oldest name first.

  One that was prepared again has another name. A run that went on with it knows
  it by both, as it has trained on both.

  Args:
    store: The store; one of an earlier release gets a name.
    run_dir: Folder of the run, which may be new.
    promises: Whether something is promised to the clients.

  Raises:
    UserError: If the store has no name, none can be written, and something is
      promised: later runs could not tell who was trained on.
  """
  contents, earlier = folders.read_stores(run_dir)
  if contents.get('train') != store.digest:
    earlier = ()
  try:
    name = store.give_name()
  except errors.UserError:
    if promises:
      raise
    name = store_names.UNNAMED
  return tuple(dict.fromkeys([*earlier, name]))


def trainings(
  names: Sequence[str],
  unprotected: Sequence[str] = (),
  ledger: str | None = None,
) -> Lineage:
  """Returns the record of a training, for each name of its store."""
  return tuple(Training(name, tuple(unprotected), ledger) for name in names)


def renamed(lineage: Lineage, digest: str, names: Sequence[str]) -> Lineage:
  """Returns the record of a model that calls a store by all of its names.

  A content hash, which an earlier release has recorded, travels no further.

  Args:
    lineage: Of the model.
    digest: The store's content hash.
    names: Its names.
  """
  known = {digest, *names}
  return tuple(
    dict.fromkeys(
      dataclasses.replace(training, store=name)
      for training in lineage
      for name in (names if training.store in known else [training.store])
    )
  )


def has_content_hash(lineage: Lineage) -> bool:
  """Whether a record has a hash of all clients' data, without noise.

  Earlier releases wrote one. Whoever has it can tell whether a client is among
  the others, so that no promise to them holds.
  """
  return any(
    re.fullmatch('[0-9a-f]{64}', training.store) for training in lineage
  )


def _on(lineage: Lineage, stores: Collection[str]) -> Lineage:
  """The trainings on a store, or on one that had no name: perhaps this one."""
  return tuple(
    t for t in lineage if t.store in stores or t.store == store_names.UNNAMED
  )


def unprotected(lineage: Lineage, stores: Collection[str]) -> set[str]:
  """Returns the speakers of a store to whom trainings promised nothing.

  Args:
    lineage: Of a model.
    stores: What the store is called: its names, and its content hash.
  """
  return {
    speaker
    for training in _on(lineage, stores)
    for speaker in training.unprotected
  }


def check_seeds(
  seed_model: pathlib.Path, lineage: Lineage, stores: Collection[str]
) -> Lineage:
  """Checks that a run goes on with its seed speakers; returns all trainings.

  Args:
    seed_model: Folder of the model with which the run has begun its rounds.
    lineage: Of that model, as this call would have it.
    stores: As in `unprotected`.

  Raises:
    UserError: If the model was trained on other speakers, or has no record.
  """
  recorded = read(seed_model)
  if UNKNOWN not in lineage and model_folder.is_complete(seed_model):
    require(seed_model)
  differ = unprotected(recorded, stores) ^ unprotected(lineage, stores)
  errors.require(
    not differ,
    f'The model in {seed_model} was not trained on the seed speakers of this'
    f' call ({len(differ)} differ): an earlier release drew them in a way that'
    ' told who the clients are. Give another `output_dir`.',
  )
  return tuple(dict.fromkeys([*recorded, *lineage]))


def has_promised(lineage: Lineage, store: client_store.ClientStore) -> bool:
  """Whether private trainings promised something to some of a store's speakers.

  Args:
    lineage: Of a model.
    store: The store.
  """
  stores = {name for name in (store.name, store.digest) if name}
  is_private = any(training.ledger for training in _on(lineage, stores))
  return is_private and not set(store.client_ids) <= unprotected(
    lineage, stores
  )


def check_evaluated(
  lineage: Lineage,
  store: client_store.ClientStore,
  releases_unprotected: bool,
) -> None:
  """Checks that a model's error rates on a store break no promise.

  Args:
    lineage: Of the model.
    store: The store.
    releases_unprotected: Whether figures without noise were asked for.

  Raises:
    UserError: If something was promised to them, or may have been, and they
      were not.
  """
  errors.require(
    releases_unprotected or UNKNOWN not in lineage,
    f'It is not known on whose data the model was trained ({_LACKING}): a'
    ' private run may have promised something to the speakers of `eval_store`.'
    f' {_DECLARED}, or give `unprotected_metrics`.',
  )
  errors.require(
    releases_unprotected or not has_promised(lineage, store),
    'A private run trained the model on clients of `eval_store`: error rates on'
    ' them have no noise, and its guarantee does not cover them. Give a store'
    ' of other speakers, or `unprotected_metrics`.',
  )


def check_told(
  lineage: Lineage, stores: Collection[str], ledgers: Set[str]
) -> None:
  """Checks that earlier private trainings on a store are accounted for.

  Args:
    lineage: Of the model that a run begins with.
    stores: What the run's store is called, as in `unprotected`.
    ledgers: Names of the ledgers that the run was told of.

  Raises:
    UserError: If one is missing, or the trainings are unknown.
  """
  errors.require(
    UNKNOWN not in lineage,
    'It is not known on whose data the model of `seed_model` was trained'
    f' ({_LACKING}): nothing can be promised to anybody. {_DECLARED}.',
  )
  for training in _on(lineage, stores):
    if training.ledger:
      errors.require(
        training.ledger in ledgers,
        'The model of `seed_model` was trained on the same clients by a private'
        ' run, whose epsilon comes on top: give that run in `prior_ledger`.',
      )
