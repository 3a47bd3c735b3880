"""Execution contexts for TFF.  This room knows nothing about speech."""

from tff_asr.executors.context import (
  AsyncLocalDeviceContext,
  LocalDeviceContext,
  set_local_device_context,
)
from tff_asr.executors.graph_piece import UnsupportedError
from tff_asr.executors.map_reduce import ExecutionError

__all__ = [
  'AsyncLocalDeviceContext',
  'ExecutionError',
  'LocalDeviceContext',
  'UnsupportedError',
  'set_local_device_context',
]
