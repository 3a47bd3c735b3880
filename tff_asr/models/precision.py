"""Defines number formats; weights, loss and updates are always float32."""

import tensorflow as tf

from tff_asr import errors

FLOAT32 = 'float32'
BFLOAT16 = 'mixed_bfloat16'
NAMES = (FLOAT32, BFLOAT16)

# Without one of these instructions, a processor converts bfloat16 to float32,
# which is slower than float32 alone.  NVIDIA's GPUs support bfloat16 from this
# compute capability on.
_CPU_FLAGS = ('amx_bf16', 'avx512_bf16')
_GPU_CAPABILITY = (8, 0)


def compute_type(name: str) -> tf.DType:
  """Returns the type of activations and products for a name in `NAMES`."""
  return {FLOAT32: tf.float32, BFLOAT16: tf.bfloat16}[name]


def check(name: str, cpu_flags: frozenset[str] | None = None) -> None:
  """Checks that this machine has instructions for a format.

  Args:
    name: One of `NAMES`.
    cpu_flags: Flags of the processor's instructions; by default, the flags of
      this machine.

  Raises:
    UserError: If the instructions are missing.
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
          f' {_GPU_CAPABILITY[0]}.{_GPU_CAPABILITY[1]}; {gpu.name} has'
          f' {capability[0]}.{capability[1]}: give `precision={FLOAT32}`.'
        )
    return
  if cpu_flags is None:
    cpu_flags = _flags_of_this_cpu()
  if not cpu_flags.intersection(_CPU_FLAGS):
    raise errors.UserError(
      f'`precision={name}` needs a processor with {" or ".join(_CPU_FLAGS)},'
      f' which this machine lacks: give `precision={FLOAT32}`.'
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
