"""Records the stores and speakers that trained a model: its lineage.

A run that begins with an earlier model needs this record.  If a speaker trained
the earlier model without a guarantee, a guarantee of the run would be false for
this speaker.  If an earlier private run used the speaker's data, the guarantee
would be incomplete.  So every model has a record beside it.  The record
identifies speakers by their store, and does not recognise the same speakers in
another store.

The record identifies stores by their random names.  Earlier releases recorded a
content hash of all clients' data instead.  Such a hash is still read, but it
reveals information about the clients, see `has_content_hash`.

A model can lack the record because another program made it, or because it was
copied without the record.  Any speaker may have trained such a model.
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
    store: Name of the store; in records of earlier releases, its content hash.
    unprotected: Speakers of the store without a guarantee.
    ledger: Name of the ledger that counts the releases on all other speakers'
      data, or `None` without one.
  """

  store: str
  unprotected: tuple[str, ...] = ()
  ledger: str | None = None


Lineage = tuple[Training, ...]

UNKNOWN = Training('unknown')
"""Placeholder for the unknown trainings of a model without a record."""

_LACKING = f'no {_FILE} beside it, or beside the model that it started from'
_DECLARED = (
  f'Restore {_FILE} from a copy. If another program made the model, and you'
  ' know that no speaker of your stores trained it, write'
  f' {{"trainings": []}} to {_FILE} beside the model'
)


def read(folder: pathlib.Path) -> Lineage:
  """Reads the record of the model in a folder.

  Returns:
    The trainings: `UNKNOWN` for a model without a record, and empty without a
    model.

  Raises:
    UserError: If the record is damaged.
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
      f'{path} is damaged. The file records whose data trained the model:'
      ' restore it from a copy, or use another model.'
    ) from error


def require(folder: pathlib.Path) -> None:
  """Checks that a model of this program has its record.

  Raises:
    UserError: If the record is missing.
  """
  path = folder / _FILE
  errors.require(
    path.is_file(),
    f'There is no {path}, which records whose data trained the model: restore'
    ' it from a copy.',
  )


def of_run(folder: pathlib.Path) -> Lineage:
  """Reads the record of a model, and the record of the run that contains it.

  The record of a run's seed model does not have the rounds of the run.

  Args:
    folder: Folder of a model or of a run.

  Raises:
    UserError: If a record is damaged.
  """
  folder = model_folder.find(folder)
  return read(folder) + read(model_folder.find(folder.parent))


def write(folder: pathlib.Path, lineage: Lineage) -> None:
  """Writes the record of a model; call this before the model is written."""
  folder.mkdir(parents=True, exist_ok=True)
  trainings = [dataclasses.asdict(training) for training in lineage]
  text = json.dumps({'trainings': trainings}, indent=2) + '\n'
  checksums.write(folder / _FILE, text)


def names_of(
  store: client_store.ClientStore, run_dir: pathlib.Path, promises: bool
) -> tuple[str, ...]:
  """Returns a run's names of the store of its clients, the oldest name first.

  A store that is prepared again gets another name.  If a run resumes with this
  store, the run records both names, because it has trained on both stores.

  Args:
    store: The store; a store of an earlier release gets a name.
    run_dir: Folder of the run, which may be new.
    promises: Whether the clients have a guarantee.

  Raises:
    UserError: If the clients have a guarantee, but the store has no name and
      none can be written.  Later runs could not recognise the clients.
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
  """Returns the record of a training, once for each name of its store."""
  return tuple(Training(name, tuple(unprotected), ledger) for name in names)


def renamed(lineage: Lineage, digest: str, names: Sequence[str]) -> Lineage:
  """Returns the record of a model, with a store under all of its names.

  Records of earlier releases have the store's content hash.  The names replace
  the hash, so it is not copied into further records.

  Args:
    lineage: The record of the model.
    digest: The content hash of the store.
    names: The names of the store.
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
  """Returns whether a record contains a hash of all clients' data.

  Earlier releases wrote such a hash, without noise.  A reader of the hash who
  knows the data of all other clients can check whether one client is in the
  store.  So no guarantee to these clients holds.
  """
  return any(
    re.fullmatch('[0-9a-f]{64}', training.store) for training in lineage
  )


def _trainings_on(lineage: Lineage, stores: Collection[str]) -> Lineage:
  """Returns the trainings on a store, and on stores without a name.

  A store without a name may be the same store.
  """
  return tuple(
    t for t in lineage if t.store in stores or t.store == store_names.UNNAMED
  )


def unprotected(lineage: Lineage, stores: Collection[str]) -> set[str]:
  """Returns the speakers of a store that were trained on without a guarantee.

  Args:
    lineage: The record of a model.
    stores: The names of the store, and its content hash.
  """
  return {
    speaker
    for training in _trainings_on(lineage, stores)
    for speaker in training.unprotected
  }


def check_seeds(
  seed_model: pathlib.Path, lineage: Lineage, stores: Collection[str]
) -> Lineage:
  """Checks that a run resumes with its seed speakers; returns all trainings.

  Args:
    seed_model: Folder of the model from which the run started its rounds.
    lineage: The record of that model that this command would write.
    stores: The names of the store, and its content hash.

  Raises:
    UserError: If other speakers trained the model, or the model has no record.
  """
  recorded = read(seed_model)
  if UNKNOWN not in lineage and model_folder.is_complete(seed_model):
    require(seed_model)
  differ = unprotected(recorded, stores) ^ unprotected(lineage, stores)
  errors.require(
    not differ,
    f'The model in {seed_model} was not trained on the seed speakers of this'
    f' command ({len(differ)} differ). An earlier release chose seed speakers'
    ' in a way that revealed who the clients are. Give another `output_dir`.',
  )
  return tuple(dict.fromkeys([*recorded, *lineage]))


def has_promised(lineage: Lineage, store: client_store.ClientStore) -> bool:
  """Returns whether some speakers of a store have a guarantee from a training.

  Args:
    lineage: The record of a model.
    store: The store of the speakers.
  """
  stores = {name for name in (store.name, store.digest) if name}
  is_private = any(
    training.ledger for training in _trainings_on(lineage, stores)
  )
  return is_private and not set(store.client_ids) <= unprotected(
    lineage, stores
  )


def check_evaluated(
  lineage: Lineage,
  store: client_store.ClientStore,
  releases_unprotected: bool,
) -> None:
  """Checks that a model's error rates on a store break no guarantee.

  Args:
    lineage: The record of the model.
    store: The store of the evaluation.
    releases_unprotected: Whether the user requested figures without noise.

  Raises:
    UserError: If speakers of the store have a guarantee, or may have one, and
      the user did not request figures without noise.
  """
  errors.require(
    releases_unprotected or UNKNOWN not in lineage,
    f'It is unknown whose data trained the model ({_LACKING}). The speakers of'
    ' `eval_store` may have a guarantee from a private run.'
    f' {_DECLARED}, or give `unprotected_metrics`.',
  )
  errors.require(
    releases_unprotected or not has_promised(lineage, store),
    'A private run trained the model on clients of `eval_store`. Error rates on'
    " these clients have no noise, so the run's guarantee does not cover the"
    ' error rates. Give a store of other speakers, or `unprotected_metrics`.',
  )


def check_prior_ledgers(
  lineage: Lineage, stores: Collection[str], ledgers: Set[str]
) -> None:
  """Checks that a run counts all earlier private trainings on its store.

  Args:
    lineage: The record of the model from which the run starts.
    stores: The names of the run's store, and its content hash.
    ledgers: Names of the earlier ledgers that the run counts.

  Raises:
    UserError: If the ledger of a training is missing, or the trainings are
      unknown.
  """
  errors.require(
    UNKNOWN not in lineage,
    'It is unknown whose data trained the model of `seed_model`'
    f' ({_LACKING}), so no guarantee is possible. {_DECLARED}.',
  )
  for training in _trainings_on(lineage, stores):
    if training.ledger:
      errors.require(
        training.ledger in ledgers,
        'A private run trained the model of `seed_model` on the same clients,'
        ' and its releases count towards the epsilon of this run as well: give'
        ' that run in `prior_ledger`.',
      )
