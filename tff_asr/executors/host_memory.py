"""The memory of the processor: what is freed goes back to the system.

Where oneDNN computes, TensorFlow takes memory in regions which double in size
and are never given back; after some rounds of a large model a third of it lies
idle between pieces in use.
"""

import ctypes
import os

_SYSTEM_ALLOCATOR = 'TF_ONEDNN_USE_SYSTEM_ALLOCATOR'
_TOP_PAD, _MMAP_THRESHOLD = -2, -3  # Parameters of `mallopt` in glibc.
_LARGE = 1 << 20  # Bytes of what is taken from the system on its own.
_SPARE = 128 << 20  # Bytes that are kept, to save calls for what is small.


def give_back() -> None:
  """Lets TensorFlow return memory to the system.

  Call it before TensorFlow computes anything; later nothing changes.  What the
  user has chosen by an environment variable stays as it is.
  """
  os.environ.setdefault(_SYSTEM_ALLOCATOR, 'true')
  set_option = getattr(ctypes.CDLL(None), 'mallopt', None)
  if set_option is None:  # The C library is not GNU's.
    return
  for name, option, value in (
    ('MALLOC_MMAP_THRESHOLD_', _MMAP_THRESHOLD, _LARGE),
    ('MALLOC_TOP_PAD_', _TOP_PAD, _SPARE),
  ):
    if name not in os.environ:
      set_option(option, value)
