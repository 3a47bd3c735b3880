import numpy as np
import pytest
import tensorflow as tf

from tests import stores
from tff_asr import errors
from tff_asr.learning import personalisation
from tff_asr.models import presets

CONFIG = personalisation.PersonalisationConfig(
  epochs=40, learning_rate=0.05, batch_seconds=2.0
)


@pytest.fixture(scope='module')
def store(tmp_path_factory):
  """Speakers who say a word of their own, and one who says a word once."""
  items = [
    stores.make(client, f'{client}-{i}', 4_800 + 160 * i, word, seed=len(word))
    for client, word in (('a', 'yes'), ('b', 'no'))
    for i in range(5)
  ]
  items.append(stores.make('c', 'c-0', text='on'))
  return stores.opened(tmp_path_factory.mktemp('s') / 'store', items)


def test_each_speaker_gains_from_their_own_data_and_the_model_stays(store):
  tf.keras.utils.set_random_seed(0)
  encoder = presets.preset('tiny', store.vocabulary.size).build()
  weights = encoder.get_weights()
  told = []
  found = personalisation.compare(
    encoder, store, CONFIG, lambda: told.append(None)
  )
  assert len(told) == 3
  assert [c.client_id for c in found] == ['a', 'b']
  for comparison in found:
    # Every second of five, from the second shortest on.
    names = [f'{comparison.client_id}-{i}' for i in (1, 3)]
    for transcripts in comparison.before, comparison.after:
      assert [t.utterance_id for t in transcripts] == names
    losses = [
      np.mean([t.loss for t in transcripts])
      for transcripts in (comparison.before, comparison.after)
    ]
    assert losses[1] < 0.7 * losses[0]
  for before, after in zip(weights, encoder.get_weights(), strict=True):
    np.testing.assert_array_equal(before, after)


@pytest.mark.parametrize('name', ['epochs', 'learning_rate', 'batch_seconds'])
def test_numbers_are_positive(name):
  values = dict(epochs=1, learning_rate=0.1, batch_seconds=1.0) | {name: 0}
  with pytest.raises(
    errors.UserError, match=rf'`PersonalisationConfig\.{name}=0'
  ):
    personalisation.PersonalisationConfig(**values)
