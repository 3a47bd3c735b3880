"""The interface of encoders: settings in and out, sizes, frames, folders."""

import dataclasses
import json

from hypothesis import given, settings
from hypothesis import strategies as st
import numpy as np
import pytest
import tensorflow as tf

from tests import convolution_encoder
from tff_asr import checksums, errors
from tff_asr.audio import features
from tff_asr.models import encoder, kinds, layers, model_folder, presets
from tff_asr.text import vocabularies

ENGLISH = vocabularies.CharacterVocabulary()


@pytest.fixture(scope='module', autouse=True)
def _registered():
  with convolution_encoder.registered():
    yield


def small(name):
  return presets.preset(name, ENGLISH.size)


@pytest.mark.parametrize('name', [*presets.PRESETS, convolution_encoder.PRESET])
def test_settings_come_back_from_json(name):
  config = small(name)
  assert kinds.KINDS[config.kind] is type(config)
  assert presets.PRESETS[name]['kind'] == config.kind
  values = json.loads(json.dumps(config.to_json()))
  assert type(config).from_json(values) == config
  assert hash(config) == hash(type(config).from_json(values))


@pytest.mark.parametrize('name', ['tiny', convolution_encoder.PRESET])
def test_sizes_of_layers_are_known_before_there_is_a_weight(name):
  config = small(name)
  sizes = config.layer_sizes()
  built = config.build()
  assert sizes == built.layer_sizes()
  zero = config.build_zero()
  assert sizes == zero.layer_sizes()
  assert not any(tf.reduce_any(v != 0.0) for v in zero.trainable_variables)
  shapes = [w.shape.num_elements() for w in built.trainable_variables]
  assert list(sizes.values()) == shapes


@given(
  st.sampled_from(['tiny', 'small']),
  st.booleans(),
  st.integers(0, 2),
)
@settings(max_examples=10)
def test_weights_are_the_same_with_and_without_a_call(name, post_norm, number):
  config = dataclasses.replace(
    small(name), post_norm=post_norm, blocks=number, convolutions=number
  )

  def weights(create):
    tf.keras.utils.set_random_seed(3)
    made = config.make('float32')
    create(made)
    created = [
      (v.name.removeprefix(made.name), v.numpy().tolist())
      for v in made.trainable_variables
    ]
    made(tf.zeros([1, 9, features.MEL_BANDS]), tf.constant([9]), training=True)
    assert len(made.variables) == len(created)
    return created

  of_call = weights(encoder.Encoder.create_weights)
  assert weights(type(config.make('float32')).create_weights) == of_call


@pytest.mark.parametrize('name', ['tiny', convolution_encoder.PRESET])
def test_logits_have_the_output_frames_that_the_settings_say(name):
  config = small(name)
  built = config.build()
  for frames in range(config.stride, 5 * config.stride):
    x = np.zeros([1, frames, features.MEL_BANDS], np.float32)
    logits = built(x, tf.constant([frames]))
    assert logits.shape == (1, config.output_frames(frames), ENGLISH.size)
  assert config.output_frames(config.stride) == 1
  assert config.output_frames(config.stride - 1) == 0
  assert config.frame_seconds == pytest.approx(0.01 * config.stride)


@given(st.integers(1, 20), st.lists(st.integers(0, 10_000), min_size=1))
def test_output_frames_are_the_same_of_numbers_arrays_and_tensors(stride, some):
  config = convolution_encoder.ConvolutionConfig(30, stride=stride)
  expected = [config.output_frames(frames) for frames in some]
  assert config.output_frames(np.array(some)).tolist() == expected
  assert config.output_frames(tf.constant(some)).numpy().tolist() == expected


def test_a_rate_that_a_kind_has_not_is_refused_in_a_line():
  config = small(convolution_encoder.PRESET)
  assert config.with_regularisation({'dropout': 0.25}).dropout == 0.25
  assert config.with_regularisation({}) == config
  with pytest.raises(
    errors.UserError, match='leave out `layer_drop='
  ) as caught:
    config.with_regularisation({'layer_drop': 0.1})
  assert '\n' not in str(caught.value)


def test_weights_that_are_not_trained_are_refused():
  """Rounds send and sum trainable weights: the others would go stale."""

  class Config(convolution_encoder.ConvolutionConfig):
    def make(self, precision_name):
      made = super().make(precision_name)
      made.add_weight('mean', (), trainable=False)
      return made

  with pytest.raises(errors.UserError, match='mean'):
    Config(30).build()


def test_encoders_made_in_a_graph_leave_those_made_before_as_they_are():
  config = small(convolution_encoder.PRESET)
  built = config.build()
  x = np.random.default_rng(0).normal(size=[1, 40, 80]).astype(np.float32)
  before = built(x, tf.constant([40]))
  with tf.Graph().as_default():
    config.build()(x, tf.constant([40]), training=True)
  np.testing.assert_array_equal(built(x, tf.constant([40])), before)


@pytest.mark.parametrize('name', ['tiny', convolution_encoder.PRESET])
def test_a_folder_has_the_kind_of_its_encoder(name, tmp_path):
  config = small(name)
  model_folder.save(tmp_path, config.build(), ENGLISH)
  contents = json.loads((tmp_path / 'model.json').read_text())
  assert contents['kind'] == config.kind
  loaded, _ = model_folder.load(tmp_path)
  assert loaded.config == config and type(loaded.config) is type(config)


def written(folder, **changes):
  """A folder of a model whose `model.json` is another; `None` removes."""
  config = dataclasses.replace(small('tiny'), width=16)
  model_folder.save(folder, config.build(), ENGLISH)
  contents = json.loads((folder / 'model.json').read_text()) | changes
  contents = {k: v for k, v in contents.items() if v is not None}
  checksums.write(folder / 'model.json', json.dumps(contents))
  return config


def test_a_folder_of_an_earlier_release_has_a_transformer(tmp_path):
  config = written(tmp_path, kind=None)
  digest = model_folder.digest(tmp_path)
  assert model_folder.read_config(tmp_path) == config
  loaded, _ = model_folder.load(tmp_path)
  assert loaded.config == config
  assert model_folder.digest(tmp_path) == digest


@pytest.mark.parametrize('kind', ['conformer', ['transformer'], 3])
def test_an_unknown_kind_is_refused_in_a_line(tmp_path, kind):
  written(tmp_path, kind=kind)
  for read in model_folder.read_config, model_folder.load:
    with pytest.raises(errors.UserError, match='encoder of kind') as caught:
      read(tmp_path)
    assert repr(kind) in str(caught.value) and '\n' not in str(caught.value)


def test_settings_of_another_kind_are_refused(tmp_path):
  written(tmp_path, kind='convolution')
  with pytest.raises(errors.UserError, match='cannot be read'):
    model_folder.read_config(tmp_path)


class _Late(convolution_encoder.ConvolutionEncoder):
  """Has one more layer in training."""

  def call(self, features, lengths, training=False, seed=None):
    logits = super().call(features, lengths, training, seed)
    if training:
      self.more = layers.Output(self.config.vocabulary_size, name='more')
      logits = self.more(logits)
    return logits


class _Half(convolution_encoder.ConvolutionEncoder):
  """Has logits of half precision."""

  def call(self, features, lengths, training=False, seed=None):
    return tf.cast(super().call(features, lengths, training, seed), tf.float16)


class _Mean(convolution_encoder.ConvolutionEncoder):
  """Adds the mean over all frames."""

  def call(self, features, lengths, training=False, seed=None):
    logits = super().call(features, lengths, training, seed)
    return logits + tf.reduce_mean(logits, axis=1, keepdims=True)


class _Slow(convolution_encoder.ConvolutionEncoder):
  """Has twice the stride of its settings."""

  def call(self, features, lengths, training=False, seed=None):
    return super().call(features, lengths, training, seed)[:, ::2]


@pytest.mark.parametrize(
  ('wrong', 'message'),
  [
    (_Late, 'only in training'),
    (_Half, 'float16 logits'),
    (_Mean, 'if its input is padded'),
    (
      _Slow,
      r'shape \(1, 1, 30\) for 11 frames, .* \(1, 2, 30\): check its stride',
    ),
  ],
)
def test_an_encoder_that_breaks_its_settings_is_refused(wrong, message):
  class Config(convolution_encoder.ConvolutionConfig):
    def make(self, precision_name):
      del precision_name
      return wrong(self)

  Config(30).build_zero()  # Checks nothing.
  with pytest.raises(errors.UserError, match=message):
    Config(30).build()


def test_the_check_of_an_encoder_draws_no_random_number(monkeypatch):
  monkeypatch.setattr(encoder, '_CHECKED', set())
  tf.random.set_seed(7)
  small('tiny').build()
  after = tf.random.uniform([])
  tf.random.set_seed(7)
  assert encoder._CHECKED
  small('tiny').build()  # Without the check: it is done.
  assert after == tf.random.uniform([])
