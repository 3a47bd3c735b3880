"""The output folder of a training run.

flags.txt     all flags in force, itself a flagfile
metrics.csv   a row for each round
tensorboard/  the same for TensorBoard
checksums.txt  check sums of the files that are read again
checkpoints/  the program's state, to resume from
ledger.jsonl  the releases under the privacy plan
seed_model/   the model that the rounds began with
model/        the trained model
layer_bounds.tsv  the last values of the adaptive bounds
report.html   the run in plots and words, without names or paths
report_private.html  the same with names and paths, only on request
summary.json  the figures of the run
transcripts.tsv  references and hypotheses of the held-out speakers
model_card.md    a description of the model for its users; also in model/
"""

from collections.abc import Mapping, Sequence
import fcntl
import json
import pathlib

from tff_asr import checksums, durable, errors, text_files
from tff_asr.privacy.accounting import ledger
from tff_asr.privacy.mechanism import mechanisms

_FLAGS = 'flags.txt'
_LOCK = 'lock'
_STORES = 'stores.json'
_OUTPUT_DIR = 'output_dir'
# Key of the names of the client store; all other keys are uses of stores.
_NAMES = 'names'
# Flags that earlier releases did not record, and the values in their runs.
_UNRECORDED = {'mechanism': mechanisms.UNRECORDED}
# The files of a command that was killed before it wrote the flags.
_OURS = {
  *(_LOCK, _STORES),
  *(f'{_STORES}.partial', f'{_FLAGS}.partial'),  # Of earlier releases.
  *(checksums.NAME, f'partial.{checksums.NAME}'),
  *(durable.partial_of(pathlib.Path(n)).name for n in (_STORES, _FLAGS)),
}


class RunPaths:
  """The paths of all files of a run; none needs to exist."""

  def __init__(self, path: pathlib.Path):
    """Initializes the paths from the folder of the run."""
    self.path = path

  @property
  def metrics(self) -> pathlib.Path:
    return self.path / 'metrics.csv'

  @property
  def tensorboard(self) -> pathlib.Path:
    return self.path / 'tensorboard'

  @property
  def checkpoints(self) -> pathlib.Path:
    return self.path / 'checkpoints'

  @property
  def ledger(self) -> pathlib.Path:
    return self.path / ledger.FILE_NAME

  @property
  def layer_bounds(self) -> pathlib.Path:
    return self.path / 'layer_bounds.tsv'

  @property
  def unprotected(self) -> pathlib.Path:
    return self.path / 'UNPROTECTED.txt'

  @property
  def seed_model(self) -> pathlib.Path:
    return self.path / 'seed_model'

  @property
  def model(self) -> pathlib.Path:
    return self.path / 'model'

  @property
  def report(self) -> pathlib.Path:
    return self.path / 'report.html'

  @property
  def private_report(self) -> pathlib.Path:
    return self.path / 'report_private.html'

  @property
  def summary(self) -> pathlib.Path:
    return self.path / 'summary.json'

  @property
  def transcripts(self) -> pathlib.Path:
    return self.path / 'transcripts.tsv'

  @property
  def model_card(self) -> pathlib.Path:
    return self.path / 'model_card.md'

  @property
  def flags(self) -> pathlib.Path:
    return self.path / _FLAGS

  @property
  def stores(self) -> pathlib.Path:
    return self.path / _STORES


class RunFolder(RunPaths):
  """The output folder of one run, with one set of flags."""

  def __init__(
    self,
    path: pathlib.Path,
    flags: Mapping[str, str],
    stores: Mapping[str, str],
    may_change: frozenset[str] = frozenset(),
    store_names: Sequence[str] = (),
  ):
    """Makes the folder, or opens the folder of a run with the same flags.

    Args:
      path: The folder.
      flags: Every flag in force, by name.
      stores: Content hashes of the stores, by use.
      may_change: Names of the flags that may differ from the earlier command.
      store_names: The run's names of the store of its clients.

    Raises:
      UserError: If the folder contains other files, or a run with other flags
        or data, or if another command is using it.
    """
    super().__init__(path)
    check(path, flags, may_change)
    self.is_new = not self.flags.exists()
    path.mkdir(parents=True, exist_ok=True)
    # The lock is held until the object is deleted.
    self._lock = open(path / _LOCK, 'w')  # noqa: SIM115
    try:
      fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
      raise errors.UserError(
        f'Another command is using {path}: wait until it ends, or give another'
        ' `output_dir`.'
      ) from error
    if not self.is_new and read_stores(path)[0] != dict(stores):
      raise errors.UserError(
        f'A store has changed since the run in {path} began: give another'
        ' `output_dir`.'
      )
    record = {**stores, _NAMES: list(store_names)}
    checksums.write(path / _STORES, json.dumps(record, indent=2) + '\n')
    lines = [f'--{name}={value}\n' for name, value in sorted(flags.items())]
    checksums.write(self.flags, ''.join(lines))


def check(
  path: pathlib.Path, flags: Mapping[str, str], may_change: frozenset[str]
) -> None:
  """Checks that a folder can be the folder of a run; changes nothing.

  Args:
    path: The folder, which does not need to exist.
    flags: Every flag in force, by name.
    may_change: Names of the flags that may differ from the earlier command.

  Raises:
    UserError: If the path is a file, or the folder contains other files, or a
      run with other flags.
  """
  errors.require(
    path.is_dir() or not path.exists(),
    f'`output_dir={path}` is a file, not the folder of a run: give another'
    ' `output_dir`.',
  )
  flagfile = path / _FLAGS
  if flagfile.exists():
    _check_flags(path, read_flags(flagfile), flags, may_change)
  elif path.exists() and {p.name for p in path.iterdir()} - _OURS:
    raise errors.UserError(
      f'{path} exists, but is not the folder of a run (no {_FLAGS}): give'
      ' another `output_dir`.'
    )


def _check_flags(
  path: pathlib.Path,
  earlier: Mapping[str, str],
  flags: Mapping[str, str],
  may_change: frozenset[str],
) -> None:
  """Checks that a run resumes with its own flags, in its own folder.

  Raises:
    UserError: If the flags or the folder differ.
  """
  changed = [
    f'`{name}` was {was}, is {now}'
    for name, (was, now) in changed_flags(earlier, flags).items()
    if name not in may_change
  ]
  errors.require(
    earlier.get(_OUTPUT_DIR) == flags.get(_OUTPUT_DIR),
    f'The run in {path} was started as {earlier.get(_OUTPUT_DIR)}: move it back'
    ' to resume it, or give another `output_dir`. If a copy of a run resumed'
    " beside the original, no ledger would count both runs' releases.",
  )
  errors.require(
    not changed,
    f'{path} contains a run with other flags ({"; ".join(changed)}): give'
    ' another `output_dir`, or the same flags to resume the run.',
  )


def recorded_flag(flags: Mapping[str, str], name: str, default: str) -> str:
  """Returns the value of a flag in the record of a run.

  Args:
    flags: The recorded flags, by name.
    name: Name of the flag.
    default: The result for a flag that the run did not have.  A flag that is
      newer than the record instead has the value of all runs before the flag.
  """
  return flags.get(name, _UNRECORDED.get(name, default))


def changed_flags(
  earlier: Mapping[str, str], flags: Mapping[str, str]
) -> dict[str, tuple[str, str]]:
  """Returns the flags that differ from a record, with both values.

  Args:
    earlier: The recorded flags of a run, by name.
    flags: Every flag in force, by name.
  """
  both = {
    name: (
      recorded_flag(earlier, name, 'absent'),
      flags.get(name, 'absent'),
    )
    for name in sorted(flags.keys() | earlier.keys())
  }
  return {name: (was, now) for name, (was, now) in both.items() if was != now}


def is_run(folder: pathlib.Path, flagfile: pathlib.Path) -> bool:
  """Returns whether a flagfile is the recorded flags of the run in a folder."""
  return flagfile == folder / _FLAGS and (folder / _STORES).exists()


def read_stores(
  path: pathlib.Path,
) -> tuple[dict[str, str], tuple[str, ...]]:
  """Reads the content hashes and the names of a run's stores.

  Args:
    path: Folder of the run.

  Returns:
    Hashes of the contents, by use, and the names of the store of the clients.
    Earlier releases did not record names.  Both are empty if there is no run.

  Raises:
    UserError: If the record is damaged.
  """
  file = path / _STORES
  if not checksums.exists(file):
    return {}, ()
  try:
    contents = text_files.read_json(file)
    names = contents.pop(_NAMES, [])
    if not all(isinstance(v, str) for v in [*contents.values(), *names]):
      raise TypeError
    return contents, tuple(names)
  except errors.UserError:
    raise
  except (ValueError, TypeError) as error:
    raise errors.UserError(
      f'{file} is damaged: restore it from a copy.'
    ) from error


def read_flags(flagfile: pathlib.Path) -> dict[str, str]:
  """Reads the flags of a run, by name.

  Raises:
    UserError: If the file is not a text file.
  """
  lines = text_files.read(flagfile).split('\n')
  pairs = (line.removeprefix('--').partition('=') for line in lines if line)
  return {name: value for name, _, value in pairs}
