import subprocess
import sys

import pytest

# A process of its own: TensorFlow's threads cannot be changed later.
PROGRAM = """
import sys
import tensorflow as tf
from tff_asr.executors import devices
names = devices.select(sys.argv[1])
devices.share_cores(names, int(sys.argv[2]))
tf.constant(1.0) + 1.0
devices.share_cores(names, 1)  # Too late, and says nothing.
print(tf.config.threading.get_intra_op_parallelism_threads())
"""


@pytest.mark.parametrize(
  ['cores', 'names', 'clients', 'threads'],
  [(8, 'cpu', 2, 4), (8, 'cpu:0,cpu:1', 4, 1), (2, 'cpu', 1, 2), (1, '', 9, 1)],
)
def test_clients_share_the_cores(cores, names, clients, threads):
  found = subprocess.run(
    [
      sys.executable,
      '-c',
      f'import os; os.cpu_count = lambda: {cores}\n' + PROGRAM,
      names,
      str(clients),
    ],
    env={'PYTHONPATH': ':'.join(sys.path), 'TF_CPP_MIN_LOG_LEVEL': '3'},
    stdout=subprocess.PIPE,
    text=True,
    check=True,
  )
  assert int(found.stdout) == threads
