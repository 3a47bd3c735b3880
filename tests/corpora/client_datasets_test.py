import collections

from hypothesis import given, settings
from hypothesis import strategies as st
import numpy as np
import pytest
import tensorflow as tf

from tests import stores
from tff_asr import errors
from tff_asr.audio import features
from tff_asr.corpora import batching, client_datasets, utterance
from tff_asr.executors import native

TEXTS = ['one', "it's two", 'three', 'four - five'.replace(' - ', '-'), 'six']
SEED = tf.constant([3, 4])
SAMPLES = [8_000 + 900 * i for i in range(len(TEXTS))]


@pytest.fixture(scope='module', autouse=True)
def worker():
  """TFF's own runtime, which would outlive a process that just ends."""
  worker = native.set_native_context()
  yield
  worker.stop()


@pytest.fixture(scope='module')
def opened(tmp_path_factory):
  rng = np.random.default_rng(0)
  return stores.opened(
    tmp_path_factory.mktemp('stores') / 'store',
    [
      utterance.Utterance(
        'a', str(i), rng.integers(-999, 999, samples, np.int16), text
      )
      for i, (samples, text) in enumerate(zip(SAMPLES, TEXTS, strict=True))
    ],
  )


def batches(opened, seconds, **kwargs):
  config = batching.BatchConfig(seconds, **kwargs)
  dataset = batching.client_batches(
    opened.all_records(tf.constant('a')), config, SEED
  )
  for name, spec in batching.CLIENT_BATCH_SPEC.items():
    assert dataset.element_spec[name].is_compatible_with(spec)
  return list(dataset.as_numpy_iterator())


def texts(opened, batch):
  return [
    opened.vocabulary.decode(row[:n])
    for row, n in zip(batch['tokens'], batch['token_lengths'], strict=True)
  ]


@pytest.mark.parametrize('seconds', [0.1, 1.3, 2.2, 60.0])
def test_every_utterance_comes_once_an_epoch(opened, seconds):
  found = [
    t for b in batches(opened, seconds, epochs=3) for t in texts(opened, b)
  ]
  assert collections.Counter(found) == {text: 3 for text in TEXTS}


def test_data_is_repeated_for_a_number_of_steps(opened):
  found = batches(opened, 1.5, steps=7)  # Three batches an epoch.
  assert len(found) == 7
  counts = collections.Counter(t for b in found for t in texts(opened, b))
  assert set(counts.values()) <= {2, 3}
  assert len(batches(opened, 1.5, steps=2)) == 2


def many(opened_path, count):
  """A store with a client of `count` utterances, each longer by a frame."""
  rng = np.random.default_rng(0)
  return stores.opened(
    opened_path,
    [
      utterance.Utterance(
        'a',
        str(i),
        rng.integers(-999, 999, 8_000 + 160 * i, np.int16),
        'six',
      )
      for i in range(count)
    ],
    kind='features',
  )


def batches_of_a(opened, config):
  records = opened.all_records(tf.constant('a'), config.limits)
  return batching.client_batches(records, config, SEED)


def test_a_few_steps_see_all_of_a_client_in_time(tmp_path):
  opened = many(tmp_path / 'store', 60)
  config = batching.BatchConfig(1.1, steps=5)
  seen = []
  for _ in range(30):
    dataset = batches_of_a(opened, config)
    found = list(dataset.as_numpy_iterator())
    assert len(found) == 5
    seen += [int(n) for batch in found for n in batch['frames']]
  # Long utterances come as often as short ones; 6 standard deviations.
  frames = np.array(seen) - features.num_frames(8_000)
  assert len(frames) >= 150
  assert 0.25 < np.mean(frames < 30) < 0.75
  # None of ten is drawn by 150 but with (5 / 6)^150 = 1e-12.
  assert frames.min() < 10 and frames.max() >= 50


@pytest.mark.parametrize('seconds', [0.1, 2.0])
def test_batches_are_padded_to_few_lengths(tmp_path, seconds):
  """By less than an eighth, within what a batch may hold."""
  opened = many(tmp_path / 'store', 60)
  config = batching.BatchConfig(seconds, epochs=1)
  found = list(batches_of_a(opened, config).as_numpy_iterator())
  lengths = [batch['features'].shape[1] for batch in found]
  for batch, length in zip(found, lengths, strict=True):
    assert batch['frames'].max() <= length < batch['frames'].max() * 9 / 8
    assert len(batch['frames']) * length <= 100 * seconds or seconds < 0.5
    for features_, frames in zip(
      batch['features'], batch['frames'], strict=True
    ):
      assert features_[:frames].all() and not features_[frames:].any()
  # 48 to 107 frames, eight lengths from a power of two to the next.
  assert len(set(lengths)) <= 11 < len(lengths)


@pytest.mark.parametrize('seconds', [0.3, 0.8, 2.0])
def test_steps_repeat_no_utterance_of_a_client_with_enough(tmp_path, seconds):
  """Also if utterances are longer than a batch."""
  opened = many(tmp_path / 'store', 60)
  config = batching.BatchConfig(seconds, steps=6)
  for _ in range(5):
    dataset = batches_of_a(opened, config)
    found = [int(n) for b in dataset for n in b['frames']]
    assert len(found) == len(set(found)) >= 6


def test_batches_come_in_a_new_order_every_epoch(tmp_path):
  opened = many(tmp_path / 'store', 12)
  config = batching.BatchConfig(0.1, epochs=2)
  dataset = batches_of_a(opened, config)
  order = [int(b['frames'][0]) for b in dataset]
  first, second = order[:12], order[12:]
  # Equal by chance: 1 in 12!, 2e-9.
  assert sorted(first) == sorted(second) and first != second
  assert first != sorted(first)


def computed(opened, names, insecure_seed, **kwargs):
  """What TFF's computation makes of names: lengths and seeds of batches."""
  config = batching.BatchConfig(0.6, **kwargs)
  computation = client_datasets.dataset_computation(
    opened, config, insecure_seed
  )
  return [
    [
      (*b['frames'].numpy().tolist(), *b['seed'].numpy().tolist())
      for b in computation(name)
    ]
    for name in names
  ]


@pytest.mark.parametrize('kwargs', [dict(epochs=3), dict(steps=4)])
def test_with_a_seed_a_client_has_the_same_batches_in_the_same_round(
  tmp_path, kwargs
):
  """And others in another round, and with another seed."""
  opened = many(tmp_path / 'store', 12)
  in_rounds = client_datasets.RoundNames(insecure_seed=5)
  names = [in_rounds.in_round(['a'], number)[0] for number in (1, 2)]
  assert in_rounds.client_of(names[1]) == 'a'
  first, second = computed(opened, names, 5, **kwargs)
  assert [first, second] == computed(opened, names, 5, **kwargs)
  others = computed(opened, names, 6, **kwargs)
  fresh = [computed(opened, ['a'], None, **kwargs)[0] for _ in range(2)]
  different = [first, second, *others, *fresh]
  assert len({tuple(found) for found in different}) == 6
  # As many batches and steps as without a seed.
  assert len({len(found) for found in different}) == 1
  # No two steps leave the same to chance.
  seeds = [batch[-2:] for found in different for batch in found]
  assert len(set(seeds)) == len(seeds)


def test_fresh_names_have_other_batches_each_and_the_same_if_used_again(
  tmp_path,
):
  opened = many(tmp_path / 'store', 12)
  fresh = client_datasets.RoundNames(insecure_seed=None, are_fresh=True)
  names = [*fresh.in_round(['a', 'a'], 1), *fresh.in_round(['a'], 1)]
  assert {fresh.client_of(name) for name in names} == {'a'}
  found = computed(opened, names, 5, epochs=3)
  assert found == computed(opened, names, 5, epochs=3)
  assert len({tuple(batches) for batches in found}) == 3


def test_a_cap_holds_for_steps_too(opened):
  config = batching.BatchConfig(0.1, steps=6, max_seconds=0.1)
  dataset = batches_of_a(opened, config)
  assert len({text for b in dataset for text in texts(opened, b)}) == 1


def test_a_client_without_records_has_no_steps(opened):
  dataset = batching.client_batches(
    opened.all_records(tf.constant('nobody')),
    batching.BatchConfig(1.0, steps=7),
    SEED,
  )
  assert not list(dataset)


def test_features_are_those_of_the_utterance_and_padding_is_zero(opened):
  by_text = {text: audio for _, text, audio in stores.records(opened, 'a')}
  for batch in batches(opened, 1.3, epochs=1):
    for row, frames, text in zip(
      batch['features'], batch['frames'], texts(opened, batch), strict=True
    ):
      waveform = features.waveform_of(tf.constant(by_text[text]))
      expected = features.log_mel(waveform).numpy()
      assert frames == len(expected)
      np.testing.assert_allclose(row[:frames], expected, atol=1e-4)
      assert not row[frames:].any()


def padded(length):
  """Eight lengths from a power of two to the next."""
  step = max(1, 2 ** (length.bit_length() - 4))
  return -(-length // step) * step


def greedy(frames, budget):
  """Batches of sorted lengths, filled in turn."""
  found = []
  for f in frames:
    if found and (len(found[-1]) + 1) * padded(f) <= budget:
      found[-1].append(f)
    else:
      found.append([f])
  return found


@settings(max_examples=20, deadline=None)
@given(
  st.lists(st.integers(3, 60), min_size=1, max_size=12), st.integers(1, 99)
)
def test_batches_are_filled_with_neighbours_up_to_the_seconds(frames, budget):
  frames = sorted(frames)

  def record(count):
    return {
      'features': tf.zeros([count, 80]).numpy().tobytes(),
      'tokens': np.ones(2, np.int32).tobytes(),
    }

  columns = [record(f) for f in frames]
  records = {
    name: tf.constant([c[name] for c in columns]) for name in columns[0]
  }
  found = batching.client_batches(
    records, batching.BatchConfig(budget / 100 + 1e-6, epochs=1), SEED
  )
  sizes = sorted(sorted(b['frames'].numpy().tolist()) for b in found)
  assert sizes == sorted(greedy(frames, budget))


def test_pooled_batches_hold_every_utterance_and_no_more_than_the_seconds(
  opened,
):
  examples = client_datasets.pooled_examples(opened, ['a'])
  found = list(batching.by_length(examples, 1.9))
  names = [t.decode() for b in found for t in b['text'].numpy()]
  assert sorted(names) == sorted(TEXTS)
  for batch in found:
    assert batch['features'].shape[0] * batch['features'].shape[1] <= 190


@pytest.mark.parametrize(
  'wrong',
  [
    dict(seconds=0.0, epochs=1),
    dict(seconds=1.0),
    dict(seconds=1.0, epochs=1, steps=1),
    dict(seconds=1.0, epochs=1, max_seconds=-1.0),
  ],
)
def test_settings_that_mean_nothing_are_refused(wrong):
  with pytest.raises(errors.UserError, match='BatchConfig'):
    batching.BatchConfig(**wrong)
