"""Saves and loads the checkpoints of a program; each is whole or absent.

Each round has one file in NumPy's `.npz` format.  The file is written under
another name, synced, and then renamed, so a kill or a full disk leaves the
earlier checkpoint unchanged.  The zip format has a check sum of each array.
NumPy's own reader stops before the check sum if a damaged header asks for fewer
bytes, so this module reads whole entries.

TFF's `FileProgramStateManager` does not sync, does not delete the partial file
of a killed process, and makes two more copies of the state to write it.
"""

from collections.abc import Iterator, Mapping, Sequence
import contextlib
import io
import json
import os
import pathlib
import re
from typing import Any, BinaryIO
import zipfile

from absl import logging
import numpy as np
import tree

from tff_asr import compat, durable, errors

_NAME = re.compile(r'round_(\d+)\.npz')
_BEST = re.compile(r'best_round_(\d+)_wer_([\d.]+)\.npz')
_COUNT = -12  # Position of the number of entries in a ZIP file: 2 bytes.
_PARTIAL, _DAMAGED = '.partial', '.damaged'
_DIVERGED = re.compile(r'round_(\d+)\.diverged')


class DamagedError(Exception):
  """A checkpoint differs from the file that was written."""


class Checkpoints(compat.ProgramStateManager):
  """Keeps the last few checkpoints and the best one in a folder."""

  def __init__(self, folder: pathlib.Path, keep_last: int):
    """Opens or makes the folder, and deletes the partial files in it.

    Args:
      folder: The folder, which contains only checkpoints.
      keep_last: Number of checkpoints to keep, at least 1.
    """
    folder.mkdir(parents=True, exist_ok=True)
    self._folder = folder
    self._keep_last = keep_last
    for path in folder.glob(f'*{_PARTIAL}'):
      path.unlink()

  async def get_versions(self) -> list[int] | None:
    """Returns the rounds that have a checkpoint, or `None` without any."""
    found = map(_NAME.fullmatch, os.listdir(self._folder))
    return sorted(int(match[1]) for match in found if match) or None

  async def load(self, version: int, structure: Any) -> Any:
    """Reads a checkpoint.

    Args:
      version: The round of the checkpoint.
      structure: Any state of the same structure.

    Raises:
      DamagedError: If the checkpoint is damaged.
      ProgramStateNotFoundError: If the round has no checkpoint.
      UserError: If the checkpoint has another structure.
    """
    path = self._path(version)
    if not path.exists():
      raise compat.ProgramStateNotFoundError(version)
    leaves = _read(path)
    expected = dict(_leaves(structure))
    if expected.keys() != leaves.keys() or any(
      leaves[name].shape != np.shape(leaf) for name, leaf in expected.items()
    ):
      raise errors.UserError(
        f'{path} is the checkpoint of another model: give another `output_dir`.'
      )
    return tree.unflatten_as(structure, [leaves[n][()] for n in expected])

  async def load_latest(self, structure: Any) -> tuple[Any, int]:
    """Reads the newest checkpoint that is whole.

    Each damaged checkpoint is named in a warning, and its file is renamed.

    Returns:
      A state and its round, or `(None, 0)` if there is no checkpoint.

    Raises:
      UserError: If there are checkpoints, and all are damaged.
    """
    versions = await self.get_versions() or []
    for version in reversed(versions):
      try:
        return await self.load(version, structure), version
      except DamagedError as error:
        logging.warning('%s. The earlier checkpoint is used.', error)
        path = self._path(version)
        durable.rename(path, path.with_suffix(_DAMAGED))
    if any(self._folder.glob(f'*{_DAMAGED}')):
      raise errors.UserError(
        f'All checkpoints in {self._folder} are damaged: restore one from a'
        ' copy, or give another `output_dir`.'
      )
    return None, 0

  async def save(self, program_state: Any, version: int) -> None:
    """Writes a checkpoint and syncs it to the disk.

    Args:
      program_state: A structure of arrays and numbers.
      version: The round of the state.

    Raises:
      ProgramStateExistsError: If the round has a checkpoint already.
      TypeError: If a leaf is not an array of numbers or text.
      UserError: If the checkpoint cannot be written; the others are unchanged.
    """
    path = self._path(version)
    if path.exists():
      raise compat.ProgramStateExistsError(version, self._folder)
    leaves = {name: np.asarray(leaf) for name, leaf in _leaves(program_state)}
    for name, leaf in leaves.items():
      if leaf.dtype.hasobject:
        raise TypeError(f'{name} of a state is not an array: {leaf!r:.80}.')
    try:
      aside = path.with_name(path.name + _PARTIAL)
      with durable.replacing(path, aside), open(aside, 'wb') as file:
        _write(file, leaves)
    except OSError as error:
      raise errors.UserError(
        f'The checkpoint of round {version} cannot be written to'
        f' {self._folder}: {error.strerror}. Earlier checkpoints are intact:'
        ' free some space, then repeat the command to resume from the last.'
      ) from error
    for old in (await self.get_versions())[: -self._keep_last]:
      self._path(old).unlink()

  def offer_best(self, version: int, wer: float) -> None:
    """Keeps a checkpoint as the best if its WER is lower than all before.

    Args:
      version: The round; without a checkpoint of this round, nothing is done.
      wer: Word error rate on the held-out speakers.
    """
    found = map(_BEST.fullmatch, os.listdir(self._folder))
    before = {match[0]: float(match[2]) for match in found if match}
    if not self._path(version).exists() or wer >= min(
      before.values(), default=np.inf
    ):
      return
    name = f'best_round_{version:06d}_wer_{wer:.6f}.npz'
    durable.link(self._path(version), self._folder / name)
    for old in before.keys() - {name}:
      (self._folder / old).unlink()

  def note_diverged(self, version: int) -> None:
    """Notes that a round diverged, so that no later command repeats it."""
    durable.write_text(self._path(version).with_suffix('.diverged'), '')

  def diverged(self) -> int | None:
    """Returns the first round that diverged, or `None`."""
    found = map(_DIVERGED.fullmatch, os.listdir(self._folder))
    return min((int(match[1]) for match in found if match), default=None)

  async def remove_all(self) -> None:
    """Deletes the checkpoints of all rounds, but not the best one."""
    for version in await self.get_versions() or []:
      self._path(version).unlink()

  def _path(self, version: int) -> pathlib.Path:
    return self._folder / f'round_{version:06d}.npz'


def recorded(folder: pathlib.Path) -> Iterator[tuple[int, str]]:
  """Yields the round and the ledger entry of each checkpoint in a folder.

  Args:
    folder: The folder of `Checkpoints`; unreadable checkpoints are left out.
  """
  for path in sorted(folder.glob('*.npz')):
    with contextlib.suppress(DamagedError):
      leaves = _read(path, ('round_number', 'entry'))
      yield int(leaves['round_number']), str(leaves['entry'])


def _read(
  path: pathlib.Path, names: Sequence[str] | None = None
) -> dict[str, np.ndarray]:
  """Reads the named leaves of a state, by default all.

  Raises:
    DamagedError: If the file differs from the one that was written.
  """
  try:
    with open(path, 'rb') as file, zipfile.ZipFile(file) as archive:
      file.seek(_COUNT, os.SEEK_END)
      count = int.from_bytes(file.read(2), 'little')
      if count != len(set(archive.namelist())):  # `zipfile` does not check.
        raise zipfile.BadZipFile('its directory lacks arrays')
      return {
        name: np.lib.format.read_array(
          io.BytesIO(archive.read(f'{name}.npy')), allow_pickle=False
        )
        for name in names or _names(archive)
      }
  # From damaged bytes, the parsers can raise any exception.
  except Exception as error:
    reason = ' '.join(str(error).split()) or type(error).__name__
    raise DamagedError(f'{path} is damaged: {reason}') from error


def _names(archive: zipfile.ZipFile) -> list[str]:
  return [name.removesuffix('.npy') for name in archive.namelist()]


def figures(folder: pathlib.Path) -> dict[int, dict[str, float]]:
  """Returns the metrics of each round that has a checkpoint in a folder.

  Args:
    folder: The folder of `Checkpoints`; unreadable checkpoints are left out.
  """
  found = {}
  for path in sorted(folder.glob('*.npz')):
    with contextlib.suppress(DamagedError):
      leaves = _read(path, ('round_number', 'metrics'))
      found[int(leaves['round_number'])] = json.loads(str(leaves['metrics']))
  return found


def _write(file: BinaryIO, leaves: Mapping[str, np.ndarray]) -> None:
  """Writes the arrays like `np.savez`, but closes the archive on an error."""
  with zipfile.ZipFile(file, 'w') as archive:
    for name, leaf in leaves.items():
      with archive.open(f'{name}.npy', 'w', force_zip64=True) as entry:
        np.lib.format.write_array(entry, leaf, allow_pickle=False)


def _leaves(state: Any) -> Iterator[tuple[str, Any]]:
  """Yields the path and the value of each leaf of a state, in order."""
  for path, leaf in tree.flatten_with_path(state):
    yield '.'.join(map(str, path)), leaf
