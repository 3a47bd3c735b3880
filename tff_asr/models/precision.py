"""Number formats to compute in; weights, loss and updates stay float32."""

import tensorflow as tf

from tff_asr import errors

FLOAT32 = 'float32'
BFLOAT16 = 'mixed_bfloat16'
NAMES = (FLOAT32, BFLOAT16)

# Processors without one of these instructions compute bfloat16 by widening it,
# slower than float32; NVIDIA's devices have them from this capability on.
_CPU_FLAGS = ('amx_bf16', 'avx512_bf16')
_GPU_CAPABILITY = (8, 0)


def compute_type(name: str) -> tf.DType:
  """Returns the type of activations and products for a name in `NAMES`."""
  return {FLOAT32: tf.float32, BFLOAT16: tf.bfloat16}[name]


def check(name: str, cpu_flags: frozenset[str] | None = None) -> None:
  """Checks that this machine can compute in a format.

  Args:
    name: One of `NAMES`.
    cpu_flags: What the processor can do; by default this machine's.

  Raises:
    UserError: If it cannot.
  """
  if name == FLOAT32:
    return
  gpus = tf.config.list_physical_devices('GPU')
  if gpus:
    for gpu in gpus:
      details = tf.config.experimental.get_device_details(gpu)
      capability = details.get('compute_capability', (0, 0))
      if capability < _GPU_CAPABILITY:
        raise errors.UserError(
          f'`precision={name}` needs GPUs of compute capability'
          f' {_GPU_CAPABILITY[0]}.{_GPU_CAPABILITY[1]}, {gpu.name} has'
          f' {capability[0]}.{capability[1]}: give `precision={FLOAT32}`.'
        )
    return
  if cpu_flags is None:
    cpu_flags = _flags_of_this_cpu()
  if not cpu_flags.intersection(_CPU_FLAGS):
    raise errors.UserError(
      f'`precision={name}` needs a processor with {" or ".join(_CPU_FLAGS)},'
      f' which this one has not: give `precision={FLOAT32}`.'
    )


def _flags_of_this_cpu() -> frozenset[str]:
  try:
    with open('/proc/cpuinfo') as file:
      for line in file:
        name, _, flags = line.partition(':')
        if name.strip() == 'flags':
          return frozenset(flags.split())
  except OSError:
    pass
  return frozenset()
