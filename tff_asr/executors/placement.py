"""Where TensorFlow runs an operation, which it decides when a graph runs."""

from collections.abc import Callable, Iterator, Sequence
import contextlib
import dataclasses
import threading

import tensorflow as tf
from tensorflow.python.eager import context

_lock = threading.Lock()


@dataclasses.dataclass(frozen=True)
class Watch:
  """A question about operations.

  Attributes:
    operations: Their names, as in `tf.raw_ops`.
    report: Takes pairs of an operation and the device on which it is, in
      TensorFlow's words (`/CPU:0`), of those that were found.
  """

  operations: Sequence[str]
  report: Callable[[list[tuple[str, str]]], None]


@contextlib.contextmanager
def watched(watch: Watch | None) -> Iterator[None]:
  """Finds out where operations are that run in this block.

  TensorFlow tells only of functions that run for the first time, and it keeps
  a copy of their graphs for the length of the block.
  """
  if not watch:
    yield
    return
  with _lock:
    context.context().enable_run_metadata()
    try:
      yield
      metadata = context.context().export_run_metadata()
    finally:
      context.context().disable_run_metadata()
  watch.report(_placements(metadata, watch.operations))


def _placements(metadata, operations) -> list[tuple[str, str]]:
  found = set()
  for graphs in metadata.function_graphs:
    for graph in graphs.partition_graphs:
      functions = {f.signature.name: f for f in graph.library.function}
      for node in graph.node:
        device = tf.DeviceSpec.from_string(node.device)
        name = f'/{device.device_type}:{device.device_index}'
        reached = _operations(node, functions) & set(operations)
        found |= {(operation, name) for operation in reached}
  return sorted(found)


def _operations(node, functions: dict) -> set[str]:
  """Operations of a node and of the functions that it calls.

  Alternatives that are not called stay in a library: that of cuDNN on a CPU.
  """
  found = {node.op}
  for attribute in node.attr.values():
    if attribute.func.name in functions:
      for inner in functions[attribute.func.name].node_def:
        found |= _operations(inner, functions)
  return found
