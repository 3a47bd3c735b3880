"""Checkpoints of a program: whole, or not there.

A file for each round, NumPy's `.npz`.  It is written aside, synced, and only
then gets its name, so that a kill or a full disk leaves the one before as it
was; and its zip format has a check sum of each array.  NumPy's own reader stops
before it where a damaged header asks for less.  TFF's
`FileProgramStateManager` does not sync, leaves what a killed process was
writing, and makes two further copies of the state to write it.
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
_COUNT = -12  # Where a ZIP file ends with its number of entries: 2 bytes.
_PARTIAL, _DAMAGED = '.partial', '.damaged'


class DamagedError(Exception):
  """A checkpoint is not what was written."""


class Checkpoints(compat.ProgramStateManager):
  """The checkpoints in a folder: the last few, and the best."""

  def __init__(self, folder: pathlib.Path, keep_last: int):
    """Opens or makes a folder; what a killed process left there goes.

    Args:
      folder: Holds nothing else.
      keep_last: Number of checkpoints to keep, at least 1.
    """
    folder.mkdir(parents=True, exist_ok=True)
    self._folder = folder
    self._keep_last = keep_last
    for path in folder.glob(f'*{_PARTIAL}'):
      path.unlink()

  async def get_versions(self) -> list[int] | None:
    """Returns the rounds of which there are checkpoints, `None` without any."""
    found = map(_NAME.fullmatch, os.listdir(self._folder))
    return sorted(int(match[1]) for match in found if match) or None

  async def load(self, version: int, structure: Any) -> Any:
    """Reads a checkpoint.

    Args:
      version: Its round.
      structure: Any state of the same structure.

    Raises:
      DamagedError: If it is damaged.
      ProgramStateNotFoundError: If there is none.
      UserError: If it is of another structure.
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

    Damaged ones are named in a warning and set aside.

    Returns:
      A state and its round, or `(None, 0)` if there is no checkpoint.

    Raises:
      UserError: If there are checkpoints, and none is whole.
    """
    versions = await self.get_versions() or []
    for version in reversed(versions):
      try:
        return await self.load(version, structure), version
      except DamagedError as error:
        logging.warning('%s. The one before is used.', error)
        path = self._path(version)
        durable.rename(path, path.with_suffix(_DAMAGED))
    if any(self._folder.glob(f'*{_DAMAGED}')):
      raise errors.UserError(
        f'All checkpoints in {self._folder} are damaged: restore one from a'
        ' copy, or give another `output_dir`.'
      )
    return None, 0

  async def save(self, program_state: Any, version: int) -> None:
    """Writes a checkpoint; on the disk when this returns.

    Args:
      program_state: A structure of arrays and numbers.
      version: Its round.

    Raises:
      ProgramStateExistsError: If there is one.
      TypeError: If a leaf is no array of numbers or text.
      UserError: If it cannot be written; the others are as they were.
    """
    path = self._path(version)
    if path.exists():
      raise compat.ProgramStateExistsError(version, self._folder)
    leaves = {name: np.asarray(leaf) for name, leaf in _leaves(program_state)}
    for name, leaf in leaves.items():
      if leaf.dtype.hasobject:
        raise TypeError(f'{name} of a state is no array: {leaf!r:.80}.')
    try:
      aside = path.with_name(path.name + _PARTIAL)
      with durable.replacing(path, aside), open(aside, 'wb') as file:
        _write(file, leaves)
    except OSError as error:
      raise errors.UserError(
        f'The checkpoint of round {version} cannot be written to'
        f' {self._folder}: {error.strerror}. Earlier ones are intact: make'
        ' room, then call again to go on from the last.'
      ) from error
    for old in (await self.get_versions())[: -self._keep_last]:
      self._path(old).unlink()

  def offer_best(self, version: int, wer: float) -> None:
    """Keeps a checkpoint for good if no other one had a WER as low.

    Args:
      version: Its round; nothing is done if it has none.
      wer: Word error rate on held-out speakers.
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

  async def remove_all(self) -> None:
    """Removes the checkpoints of all rounds."""
    for version in await self.get_versions() or []:
      self._path(version).unlink()

  def _path(self, version: int) -> pathlib.Path:
    return self._folder / f'round_{version:06d}.npz'


def recorded(folder: pathlib.Path) -> Iterator[tuple[int, str]]:
  """Yields the round and the ledger's entry of each program state in a folder.

  Args:
    folder: That of `Checkpoints`; those that cannot be read are left out.
  """
  for path in sorted(folder.glob('*.npz')):
    with contextlib.suppress(DamagedError):
      leaves = _read(path, ('round_number', 'entry'))
      yield int(leaves['round_number']), str(leaves['entry'])


def _read(
  path: pathlib.Path, names: Sequence[str] | None = None
) -> dict[str, np.ndarray]:
  """Reads the leaves of a state, all of them or some.

  Raises:
    DamagedError: If it is not what was written.
  """
  try:
    with open(path, 'rb') as file, zipfile.ZipFile(file) as archive:
      file.seek(_COUNT, os.SEEK_END)
      count = int.from_bytes(file.read(2), 'little')
      if count != len(set(archive.namelist())):  # `zipfile` does not look.
        raise zipfile.BadZipFile('its directory lacks arrays')
      return {
        name: np.lib.format.read_array(
          io.BytesIO(archive.read(f'{name}.npy')), allow_pickle=False
        )
        for name in names or _names(archive)
      }
  # Damaged bytes let the parsers raise what they like.
  except Exception as error:
    reason = ' '.join(str(error).split()) or type(error).__name__
    raise DamagedError(f'{path} is damaged: {reason}') from error


def _names(archive: zipfile.ZipFile) -> list[str]:
  return [name.removesuffix('.npy') for name in archive.namelist()]


def figures(folder: pathlib.Path) -> dict[int, dict[str, float]]:
  """Returns the metrics of each round whose program state is in a folder.

  Args:
    folder: That of `Checkpoints`; those that cannot be read are left out.
  """
  found = {}
  for path in sorted(folder.glob('*.npz')):
    with contextlib.suppress(DamagedError):
      leaves = _read(path, ('round_number', 'metrics'))
      found[int(leaves['round_number'])] = json.loads(str(leaves['metrics']))
  return found


def _write(file: BinaryIO, leaves: Mapping[str, np.ndarray]) -> None:
  """Does what `np.savez` does, and closes the archive if it cannot."""
  with zipfile.ZipFile(file, 'w') as archive:
    for name, leaf in leaves.items():
      with archive.open(f'{name}.npy', 'w', force_zip64=True) as entry:
        np.lib.format.write_array(entry, leaf, allow_pickle=False)


def _leaves(state: Any) -> Iterator[tuple[str, Any]]:
  """Yields the leaves of a state by their paths, in order."""
  for path, leaf in tree.flatten_with_path(state):
    yield '.'.join(map(str, path)), leaf
