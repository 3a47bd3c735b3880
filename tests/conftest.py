"""The environment of all tests, before TensorFlow is imported.

Tests repeat.  The examples of hypothesis, and what the global generators of
NumPy and TensorFlow draw, follow from the name of a test.  With a text
in the environment variable `TEST_RANDOM_SEED` they are others, and tests come
in another order, by files and within them; the same text gives the same again.
`bazel test --runs_per_test=20` sets it to 1, 2, and so on;
`--test_env=TEST_RANDOM_SEED=7` repeats one of these runs.  What is drawn from
the system's entropy, as noise and cohorts are, stays fresh in every run; so
does Python's generator, by which free ports are found.
"""

import gc
import os
import signal
import sys
import zlib

import hypothesis
import numpy as np
import pytest

# Bazel sets it, too: see .bazelrc.
os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')

gc.disable()  # Until the modules of the tests are imported.

# What a shell or `nohup` starts in the background ignores these, and so do all
# of its children.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)

_SEED = os.environ.get('TEST_RANDOM_SEED', '')

# How long an example takes depends on the load.
hypothesis.settings.register_profile(
  'repeatable',
  deadline=None,
  derandomize=True,
  suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.load_profile('repeatable')


def _number(name: str) -> int:
  """A number below 2^32 that follows from a name and the seed."""
  return zlib.crc32(f'{_SEED} {name}'.encode())


def _seed_global_generators(name: str) -> None:
  seed = _number(name)
  np.random.seed(seed)
  if tf := sys.modules.get('tensorflow'):
    tf.random.set_seed(seed)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
  if not _SEED:
    return
  items.sort(key=lambda i: (_number(str(i.path.name)), _number(i.nodeid)))
  for item in items:
    if hypothesis.is_hypothesis_test(item.obj):
      name = f'{item.path.name} {item.originalname}'
      hypothesis.seed(f'{_SEED} {name}')(item.obj)


def pytest_collection_finish():
  gc.freeze()
  gc.enable()


@pytest.hookimpl(tryfirst=True)
def pytest_fixture_setup(fixturedef):
  """A fixture is the same whichever test is the first to ask for it."""
  _seed_global_generators(fixturedef.argname)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_call(item):
  _seed_global_generators(item.nodeid)
