"""What is to outlast a power cut: files and names brought to the disk."""

import os
import pathlib


def sync(path: pathlib.Path) -> None:
  """Brings a file, or the names in a folder, to the disk."""
  descriptor = os.open(path, os.O_RDONLY)
  try:
    os.fsync(descriptor)
  finally:
    os.close(descriptor)


def sync_tree(folder: pathlib.Path) -> None:
  """Brings all that is in a folder to the disk."""
  for path in [*folder.rglob('*'), folder]:
    sync(path)
