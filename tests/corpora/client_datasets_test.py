import collections

import numpy as np
import pytest

from tff_asr.audio import features
from tff_asr.corpora import client_datasets, store, utterance

TEXTS = ['one', "it's two", 'three', 'four - five', 'six']


@pytest.fixture(scope='module')
def opened(tmp_path_factory):
  path = tmp_path_factory.mktemp('stores') / 'store'
  rng = np.random.default_rng(0)
  store.write(
    path,
    [
      utterance.Utterance(
        'a', str(i), rng.integers(-999, 999, 8_000 + 900 * i, np.int16), text
      )
      for i, text in enumerate(TEXTS)
    ],
    'test',
  )
  return store.ClientStore(path)


def batches(opened, batch_size, epochs):
  records = opened.client_data.create_tf_dataset_for_client('a')
  dataset = client_datasets.batches(
    records,
    opened.vocabulary,
    client_datasets.BatchConfig(batch_size, epochs),
  )
  for name, spec in client_datasets.BATCH_SPEC.items():
    assert dataset.element_spec[name].is_compatible_with(spec)
  return list(dataset.as_numpy_iterator())


def texts(opened, batch):
  return [
    opened.vocabulary.decode(row[:n])
    for row, n in zip(batch['tokens'], batch['token_lengths'], strict=True)
  ]


def test_every_utterance_comes_once_an_epoch(opened):
  found = [t for b in batches(opened, 2, 3) for t in texts(opened, b)]
  assert collections.Counter(found) == {text: 3 for text in TEXTS}


def test_features_are_those_of_the_utterance_and_padding_is_zero(opened):
  by_text = {u.text: u.audio for u in opened.utterances('a')}
  for batch in batches(opened, 2, 1):
    for row, frames, text in zip(
      batch['features'], batch['frames'], texts(opened, batch), strict=True
    ):
      waveform = by_text[text].astype(np.float32) / 32768
      expected = features.log_mel(waveform).numpy()
      assert frames == len(expected)
      np.testing.assert_allclose(row[:frames], expected, atol=1e-4)
      assert not row[frames:].any()


def test_neighbours_in_length_share_a_batch(opened):
  for batch in batches(opened, 2, 1):
    assert np.ptp(batch['frames']) <= 900 // features.HOP + 1
