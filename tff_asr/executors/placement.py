"""Devices on which TensorFlow places operations when it runs a graph."""

from collections.abc import Callable, Iterator, Sequence
import contextlib
import dataclasses
import threading

import tensorflow as tf
from tensorflow.python.eager import context

_lock = threading.Lock()


@dataclasses.dataclass(frozen=True)
class Watch:
  """A request to report the devices of operations.

  Attributes:
    operations: Names of the operations, as in `tf.raw_ops`.
    report: Receives a pair of operation and device for each operation that was
      found; the device has TensorFlow's name (`/CPU:0`).
  """

  operations: Sequence[str]
  report: Callable[[list[tuple[str, str]]], None]


@contextlib.contextmanager
def watched(watch: Watch | None) -> Iterator[None]:
  """Reports the devices of operations that run in this block.

  TensorFlow reports only functions that run for the first time.  During the
  block it keeps a copy of their graphs.
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
  """Returns the operations of a node and of the functions that it calls.

  Only called functions count, because a graph's library also has alternatives
  that are never called, such as the kernel of cuDNN on a CPU.
  """
  found = {node.op}
  for attribute in node.attr.values():
    if attribute.func.name in functions:
      for inner in functions[attribute.func.name].node_def:
        found |= _operations(inner, functions)
  return found
