"""Export of a model for TF Serving, with assets and files for the server."""

from collections.abc import Mapping
import pathlib

import tensorflow as tf

from tff_asr import checksums
from tff_asr.serving import server_files, transcriber, versions

EXTRA = 'assets.extra'


def export(
  model: transcriber.Transcriber,
  export_dir: pathlib.Path,
  name: str,
  assets: Mapping[str, str],
  extra: Mapping[str, bytes],
) -> pathlib.Path:
  """Writes the next version of a model, and configuration files of the server.

  Args:
    model: The model with its signatures.
    export_dir: Folder of all versions.  Configuration files that exist there
      stay unchanged.
    name: Name of the model at the server.
    assets: Contents of text files by name, for the version's `assets`.
    extra: Contents of files by name, for the version's `assets.extra`, which
      the server ignores.

  Returns:
    The folder of the version.

  Raises:
    UserError: If `export_dir` cannot be written to.
  """

  def write(folder: pathlib.Path) -> None:
    server_files.write_configuration(export_dir, name)
    tf.saved_model.save(model, str(folder), signatures=model.functions)
    (folder / 'assets').mkdir(exist_ok=True)
    for file, contents in assets.items():
      (folder / 'assets' / file).write_text(contents)
    (folder / EXTRA).mkdir()
    for file, contents in extra.items():
      (folder / EXTRA / file).write_bytes(contents)
    server_files.write_warm_up(
      folder / EXTRA / server_files.WARM_UP, name, model.functions
    )
    checksums.write_all(folder)

  return versions.add(export_dir, write)
