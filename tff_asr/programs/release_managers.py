"""Managers to which the program releases the metrics of every round."""

from collections.abc import Mapping
import json
import math
import pathlib
import re
from typing import Any, TextIO

from absl import logging
import tensorflow as tf

from tff_asr import compat, durable

# Of the first round that is in a file; sorts after the files of TFF's manager.
_NAME = 'events.out.tfevents.round_{:06d}'
_FIRST = re.compile(r'events\.out\.tfevents\.round_(\d+)')
_VERSION = 'brain.Event:2'
_SCALAR = tf.compat.v1.SummaryMetadata(
  plugin_data=tf.compat.v1.SummaryMetadata.PluginData(plugin_name='scalars'),
  data_class='DATA_CLASS_SCALAR',
)


class JsonLog(compat.ReleaseManager):
  """Writes one object a line: what happened under `event`, and its figures.

  Figures are those that `metrics.csv` has; what is not finite is null.
  """

  def __init__(self, stream: TextIO):
    """Takes where the lines go."""
    self._stream = stream

  async def release(self, value: Mapping[str, Any], key: int) -> None:
    """Writes the metrics of a round.

    Args:
      value: By name.
      key: The round.
    """
    self.write('round', round=key, **value)

  def write(self, event: str, **figures: Any) -> None:
    """Writes a line."""
    print(
      json.dumps({'event': event, **_finite(figures)}, allow_nan=False),
      file=self._stream,
      flush=True,
    )


def _finite(value: Any) -> Any:
  if isinstance(value, Mapping):
    return {name: _finite(v) for name, v in value.items()}
  if isinstance(value, list | tuple):
    return [_finite(v) for v in value]
  if isinstance(value, float) and not math.isfinite(value):
    return None
  return value


class TensorBoard(compat.ReleaseManager):
  """Writes a file of events, without any time; a resumed run begins another.

  TFF's manager writes the time of day with every event, and the time and the
  name of the machine into the name of the file: a reader knows how long each
  round took.  Here the clock that TensorBoard shows is the number of the round,
  in seconds.
  """

  def __init__(self, folder: pathlib.Path):
    """Takes the folder, which is made with the first round."""
    self._folder = folder
    self._file: tf.io.TFRecordWriter | None = None

  async def release(self, value: Mapping[str, float], key: int) -> None:
    """Writes the metrics of a round; they can be read when this returns.

    Args:
      value: By name.
      key: The round.
    """
    if self._file is None:
      self._begin(key)
    figures = [
      tf.compat.v1.Summary.Value(
        tag=name,
        metadata=_SCALAR,
        tensor=tf.make_tensor_proto(figure, tf.float32),
      )
      for name, figure in value.items()
    ]
    self._write(key, summary=tf.compat.v1.Summary(value=figures))
    self._file.flush()

  def _begin(self, number: int) -> None:
    """Opens a file; what was written of this round and later ones goes."""
    self._folder.mkdir(parents=True, exist_ok=True)
    for path in sorted(self._folder.iterdir()):
      first = _FIRST.fullmatch(path.name)
      if first and int(first[1]) >= number:
        path.unlink()
      elif first:
        _cut(path, number)
    self._file = tf.io.TFRecordWriter(str(self._folder / _NAME.format(number)))
    self._write(number, file_version=_VERSION)

  def _write(self, number: int, **content) -> None:
    event = tf.compat.v1.Event(wall_time=number, step=number, **content)
    self._file.write(event.SerializeToString())


def _cut(path: pathlib.Path, number: int) -> None:
  """Leaves the rounds before `number` in a file, as far as it can be read."""
  kept, has_others = [], False
  try:
    for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator():
      if tf.compat.v1.Event.FromString(record).step < number:
        kept.append(record)
      else:
        has_others = True
  except tf.errors.DataLossError:  # It was being written when power failed.
    logging.warning('%s is damaged: it keeps what can be read.', path)
    has_others = True
  if not has_others:
    return
  # TensorBoard would read a file with more of the name.
  with (
    durable.replacing(path, path.with_name('partial')) as aside,
    tf.io.TFRecordWriter(str(aside)) as file,
  ):
    for record in kept:
      file.write(record)
