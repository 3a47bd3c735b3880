"""Writes the released metrics of every round as JSON and for TensorBoard."""

from collections.abc import Mapping
import json
import math
import pathlib
import re
from typing import Any, TextIO

from absl import logging
import tensorflow as tf

from tff_asr import compat, durable

# With the first round in the file.  Sorts after the files of TFF's manager.
_NAME = 'events.out.tfevents.round_{:06d}'
_FIRST = re.compile(r'events\.out\.tfevents\.round_(\d+)')
_VERSION = 'brain.Event:2'
_SCALAR = tf.compat.v1.SummaryMetadata(
  plugin_data=tf.compat.v1.SummaryMetadata.PluginData(plugin_name='scalars'),
  data_class='DATA_CLASS_SCALAR',
)


class JsonLog(compat.ReleaseManager):
  """Writes one JSON object per line: the name of an `event`, and its figures.

  The figures of a round are the same as in `metrics.csv`.  Figures that are not
  finite are null.
  """

  def __init__(self, stream: TextIO):
    """Initializes the log with the stream that receives the lines."""
    self._stream = stream

  async def release(self, value: Mapping[str, Any], key: int) -> None:
    """Writes the metrics of a round.

    Args:
      value: Metrics of the round, by name.
      key: The round.
    """
    self.write('round', round=key, **value)

  def write(self, event: str, **figures: Any) -> None:
    """Writes the line of an event."""
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
  """Writes a file of events without times; a resumed run starts another file.

  TFF's manager writes the time of day with every event, and puts the time and
  the name of the machine into the file name.  A reader of such a file knows how
  long each round took.  Here, TensorBoard shows the number of the round, in
  seconds, as the time.
  """

  def __init__(self, folder: pathlib.Path):
    """Initializes the manager; the first round makes the folder."""
    self._folder = folder
    self._file: tf.io.TFRecordWriter | None = None

  async def release(self, value: Mapping[str, float], key: int) -> None:
    """Writes and flushes the metrics of a round.

    Args:
      value: Metrics of the round, by name.
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
    """Opens a new file; deletes the events of this round and later rounds."""
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
  """Keeps only the readable events of the rounds before `number` in a file."""
  kept, has_others = [], False
  try:
    for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator():
      if tf.compat.v1.Event.FromString(record).step < number:
        kept.append(record)
      else:
        has_others = True
  except tf.errors.DataLossError:  # The power failed during a write.
    logging.warning('%s is damaged: its readable part is kept.', path)
    has_others = True
  if not has_others:
    return
  # TensorBoard would read a file whose name begins with the name of `path`.
  with (
    durable.replacing(path, path.with_name('partial')) as aside,
    tf.io.TFRecordWriter(str(aside)) as file,
  ):
    for record in kept:
      file.write(record)
