"""The collection of garbage pauses for the imports only."""

import gc

import pytest

from tff_asr import garbage


@pytest.fixture(autouse=True)
def _unfrozen():
  gc.unfreeze()
  yield
  gc.enable()
  gc.unfreeze()


def test_the_collection_goes_on_without_the_objects_of_the_imports():
  garbage.pause()
  assert not gc.isenabled()
  garbage.resume()
  assert gc.isenabled()
  frozen = gc.get_freeze_count()
  assert frozen
  garbage.resume()
  assert gc.get_freeze_count() == frozen


def test_nothing_changes_without_a_pause():
  garbage.resume()
  assert gc.isenabled()
  assert not gc.get_freeze_count()
