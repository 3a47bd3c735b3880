import dataclasses

from hypothesis import given, settings
from hypothesis import strategies as st
import numpy as np
import pytest
import tensorflow as tf

from tests.models import encoders
from tff_asr import errors
from tff_asr.audio import features as audio_features
from tff_asr.models import layers, precision, presets, transformer

CONFIG, ENCODER = encoders.CONFIG, encoders.ENCODER
POST_NORM = encoders.build(dataclasses.replace(CONFIG, post_norm=True))
random_features = encoders.random_features
run_block = encoders.run_block


@pytest.mark.parametrize(
  ('name', 'parameters', 'tensors'),
  [
    ('paper', 255_800_864, 296),
    ('paper-narrow', 113_910_816, 296),
    ('paper-wide', 454_314_016, 296),
    ('paper-shallow', 114_181_664, 136),
    ('paper-deep', 510_715_424, 584),
  ],
)
def test_the_papers_models_have_the_papers_sizes(name, parameters, tensors):
  """Counted in a graph that is never run, so that nothing is allocated."""
  with tf.Graph().as_default():
    weights = presets.preset(name, 30).build().trainable_variables
  assert len(weights) == tensors
  assert sum(w.shape.num_elements() for w in weights) == parameters


def test_the_papers_models_are_regularised_as_in_the_paper():
  """Appendix F; the study of sizes has less LayerDrop (table 21)."""
  paper = dict(
    heads=4,
    convolutions=0,
    post_norm=False,
    dropout=0.3,
    augmentation=dict(
      bands=2, band_width=30, spans=10, span_frames=50, span_fraction=0.1
    ),
    max_shift_seconds=30.0,
  )
  for name in presets.PRESETS.keys() - {'tiny', 'small'}:
    config = dataclasses.asdict(presets.preset(name, 30))
    layer_drop = 0.3 if name == 'paper' else 0.1
    assert config | paper == config
    assert config['layer_drop'] == layer_drop
    assert config['mlp_width'] == 4 * config['width']


def test_the_papers_weights_begin_as_the_papers_do():
  """Uniform on +-1 / sqrt(inputs), of which almost all is reached."""
  tf.keras.utils.set_random_seed(0)
  config = presets.preset('paper', 30)
  config = dataclasses.replace(config, blocks=1, width=256, mlp_width=1024)
  encoder = config.build()
  block = encoder.blocks[0]
  for matrix, inputs, gain in (
    (block.qkv, 256, 1.0),
    (block.attention_out, 256, 1.0),
    (block.mlp_in, 256, 1.0),
    (block.mlp_out, 1024, 1.0),
    (encoder.front_end.kernel, 7 * 80, 3.0**0.5),
    (encoder.output_layer.kernel, 256, 3.0**0.5),
  ):
    reach = gain / inputs**0.5
    # TensorFlow's bound is a float32, and may be the next one.
    most = np.nextafter(np.float32(reach), np.float32(np.inf))
    assert 0.99 * reach < np.abs(matrix).max() <= most
    assert np.std(matrix) == pytest.approx(reach / 3**0.5, rel=0.05)
  reach = (7 * 80) ** -0.5
  most = np.nextafter(np.float32(reach), np.float32(np.inf))
  assert 0.9 * reach < np.abs(encoder.front_end.bias).max() <= most


@settings(max_examples=15, deadline=None)
@given(
  st.sampled_from([ENCODER, POST_NORM]),
  st.integers(3, 60),
  st.integers(0, 40),
  st.floats(-9, 9),
)
def test_padding_never_changes_a_result(encoder, frames, padding, value):
  utterance = random_features(frames)
  alone = encoder(utterance[None], tf.constant([frames]))[0]
  longer = random_features(frames + padding, seed=1)
  batch = np.full([2, frames + padding, 80], value, np.float32)
  batch[0, :frames] = utterance
  batch[1] = longer
  together = encoder(batch, tf.constant([frames, frames + padding]))[0]
  outputs = ENCODER.config.output_frames(frames)
  np.testing.assert_allclose(together[:outputs], alone[:outputs], atol=1e-4)


def test_three_frames_make_one_output():
  for frames in range(3, 12):
    logits = ENCODER(random_features(frames)[None], tf.constant([frames]))
    assert logits.shape == (1, frames // 3, 30)


def test_normalisation_is_over_the_utterance_with_one_scale_and_bias():
  layer = layers.UtteranceNormalization()
  mask = np.zeros([2, 9, 1], np.float32)
  mask[0] = mask[1, :4] = 1.0
  layer(random_features(9)[None, :, :5], mask[:1])
  layer.set_weights([np.float32(2.0), np.float32(3.0)])
  for spread in (1.0, 1e-3):  # The second feels the epsilon of 1e-7.
    x = spread * random_features(18).reshape([2, 9, 80])
    found = layer(x, mask).numpy()
    for row, frames, number in zip(found, x, (9, 4), strict=True):
      frames = frames[:number].astype(np.float64)
      normal = (frames - frames.mean()) / np.sqrt(frames.var() + 1e-7)
      np.testing.assert_allclose(row[:number], 2 * normal + 3, atol=1e-3)
      assert not row[number:].any()


@pytest.mark.parametrize('masked', [False, True])
def test_front_end_is_the_convolution_of_scaled_features(masked):
  tf.keras.utils.set_random_seed(0)
  rng = np.random.default_rng(0)
  spans, bands = np.ones([2, 31, 1]), np.ones([2, 80])
  spans[1, 20:] = 0
  if masked:
    spans[0, 7:12] = bands[0, 3:9] = bands[1, 50:] = 0
  spans, bands = np.float32(spans), np.float32(bands)
  normal = rng.normal(size=[2, 31, 80]) * spans * bands[:, None]
  front_end = layers.FrontEnd(8, 7, 3)
  convolution = layers.GatedConvolution(8, 7, 3)
  scale, bias = tf.Variable(2.0), tf.Variable(-3.0)

  def scaled():
    features = (normal * scale + bias) * spans * bands[:, None]
    return convolution(features)

  def moved():
    return front_end(tf.constant(normal, tf.float32), spans, bands, scale, bias)

  found, expected = [], []
  normal = np.float32(normal)
  scaled(), moved()  # Make the weights.
  front_end.set_weights(convolution.get_weights())
  for results, run, layer in (
    (expected, scaled, convolution),
    (found, moved, front_end),
  ):
    with tf.GradientTape() as tape:
      y = run()
      loss = tf.reduce_sum(tf.sin(y))
    results += [y, *tape.gradient(loss, [scale, bias, *layer.variables])]
  for one, other in zip(found, expected, strict=True):
    np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize('inside', [False, True])
def test_the_gradient_of_layer_normalisation_is_that_of_its_formula(inside):
  rng = np.random.default_rng(0)
  values = [rng.normal(size=s).astype(np.float32) for s in ([5, 8], [8], [8])]

  def formula(x, scale, bias):
    centred = x - tf.reduce_mean(x, -1, True)
    variance = tf.reduce_mean(tf.square(centred), -1, True)
    return centred / tf.sqrt(variance + 1e-5) * scale + bias

  def branch(x, scale, bias):
    """Inside of a condition, as layer drop has it."""
    return tf.cond(
      tf.reduce_sum(x) < 1e9,
      lambda: layers.normalize(x, scale, bias),
      lambda: tf.identity(x),
    )

  @tf.function(autograph=False)
  def gradients(run, *arguments):
    with tf.GradientTape() as tape:
      tape.watch(arguments)
      loss = tf.reduce_sum(tf.sin(run(*arguments)))
    return tape.gradient(loss, arguments)

  run = branch if inside else layers.normalize
  tensors = [tf.constant(v) for v in values]
  for one, other in zip(
    gradients(run, *tensors), gradients(formula, *tensors), strict=True
  ):
    np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


def test_loudness_does_not_matter():
  """A gain adds a constant to all log-mels, which normalisation takes away."""
  features = random_features(60)[None]
  lengths = tf.constant([60])
  np.testing.assert_allclose(
    ENCODER(features + 3.0, lengths), ENCODER(features, lengths), atol=1e-3
  )


def test_an_empty_utterance_gives_finite_logits():
  logits = ENCODER(random_features(30)[None], tf.constant([0]))
  assert np.isfinite(logits).all()


def test_time_reversal_changes_the_result():
  """Without positions attention would not tell the order of its inputs."""
  features = random_features(90)[None]
  config = dataclasses.replace(CONFIG, convolutions=0, max_shift_seconds=0.0)
  encoder = config.build()
  x = encoder.front_end(
    features, tf.ones([1, 90, 1]), tf.ones([1, 80]), scale=1.0, bias=0.0
  )
  positions = encoder.positions(tf.ones([1, 30, 1]), tf.constant([0, 0]))
  with_positions = run_block(encoder, x + positions)
  backwards = run_block(encoder, (x + positions)[:, ::-1])[:, ::-1]
  assert np.abs(with_positions - backwards).max() < 1e-4
  reordered = run_block(encoder, x[:, ::-1] + positions)[:, ::-1]
  assert np.abs(reordered - with_positions).max() > 1e-2


def test_post_norm_is_the_textbooks():
  """Written out in NumPy after Vaswani et al. (2017), one head, no biases."""
  rng = np.random.default_rng(0)
  config = dataclasses.replace(CONFIG, heads=1, width=8, mlp_width=16)
  encoder = config.build()
  x = rng.normal(size=[5, 8]).astype(np.float32)
  block = encoder.blocks[0]

  def normal(x):
    return (x - x.mean(-1, keepdims=True)) / np.sqrt(
      x.var(-1, keepdims=True) + 1e-5
    )

  def attend(x):
    query, key, value = np.split(x @ block.qkv.numpy(), 3, axis=-1)
    weights = np.exp(query @ key.T / 8**0.5)
    weights /= weights.sum(-1, keepdims=True)
    return weights @ value @ block.attention_out.numpy()

  def perceive(x):
    hidden = np.maximum(x @ block.mlp_in.numpy(), 0)
    return hidden @ block.mlp_out.numpy()

  middle = normal(x + attend(x))
  post = normal(middle + perceive(middle))
  middle = x + attend(normal(x))
  pre = middle + perceive(normal(middle))
  for post_norm, expected in (True, post), (False, pre):
    found = run_block(encoder, tf.constant(x[None]), post_norm=post_norm)
    np.testing.assert_allclose(found[0], expected, atol=1e-5)


def test_positions_are_the_papers():
  """Seconds, centred on the utterance; sine and cosine of each frequency."""
  mask = np.zeros([1, 7, 1], np.float32)
  mask[:, :5] = 1
  found = ENCODER.positions(tf.constant(mask), tf.constant([0, 0])).numpy()[0]
  for frame in range(7):
    for i in range(64):
      frequency = 30 * 10_000 ** (-2 * (i // 2) / 64)
      angle = (frame - 2) * 0.03 * frequency + np.pi / 2 * (i % 2)
      expected = np.sin(angle) if frame < 5 else 0.0
      assert found[frame, i] == pytest.approx(expected, abs=1e-5)


def test_positions_are_shifted_as_a_whole_in_training_only():
  mask = tf.ones([2, 40, 1])
  seed = tf.constant([1, 2])
  still = ENCODER.positions(mask, seed, training=False).numpy()
  moved = ENCODER.positions(mask, seed, training=True).numpy()
  assert np.abs(moved[0] - moved[1]).max() > 0.1
  # A shift turns sine and cosine of a frequency by an angle: products of two
  # frames in one frequency stay.
  for x in moved:
    np.testing.assert_allclose(
      x[:, -2:] @ x[:, -2:].T, still[0][:, -2:] @ still[0][:, -2:].T, atol=1e-4
    )


def test_bfloat16_computes_the_same_to_its_precision():
  encoder = CONFIG.build(precision.BFLOAT16)
  assert {w.dtype for w in encoder.trainable_variables} == {tf.float32}
  encoder.set_weights(ENCODER.get_weights())
  features, lengths = random_features(90)[None], tf.constant([90])
  expected, actual = ENCODER(features, lengths), encoder(features, lengths)
  assert actual.dtype == tf.float32
  error = np.linalg.norm(actual - expected)
  assert 0 < error < 0.05 * np.linalg.norm(expected)


@pytest.mark.parametrize('flag', ['amx_bf16', 'avx512_bf16'])
def test_bfloat16_is_refused_where_the_processor_lacks_it(flag):
  precision.check(precision.BFLOAT16, frozenset(['sse2', flag]))
  precision.check(precision.FLOAT32, frozenset())
  with pytest.raises(errors.UserError, match=flag):
    precision.check(precision.BFLOAT16, frozenset(['sse2', 'avx512f']))


def test_a_graph_does_not_hold_a_block_twice():
  """Forward and backward, in the functions that it calls too."""

  def size(count):
    with tf.Graph().as_default() as graph:
      config = dataclasses.replace(CONFIG, blocks=count)
      encoder = config.build()
      with tf.GradientTape() as tape:
        output = encoder(
          tf.zeros([1, 30, 80]), tf.constant([30]), training=True
        )
        loss = tf.reduce_sum(output)
      tape.gradient(loss, encoder.trainable_variables)
      definition = graph.as_graph_def()
    nodes = list(definition.node)
    for function in definition.library.function:
      nodes += function.node_def
    return sum('MatMul' in node.op for node in nodes)

  assert size(12) == size(4) > 0


def test_features_and_logits_are_the_same_in_a_saved_model(tmp_path):
  module = tf.Module()
  module.encoder = ENCODER

  @tf.function(
    input_signature=[
      tf.TensorSpec([None, None], tf.float32),
      tf.TensorSpec([None], tf.int32),
    ]
  )
  def logits(waveforms, samples):
    return module.encoder(
      audio_features.log_mel(waveforms), audio_features.num_frames(samples)
    )

  module.logits = logits
  tf.saved_model.save(module, str(tmp_path))
  loaded = tf.saved_model.load(str(tmp_path))
  rng = np.random.default_rng(0)
  waveforms = rng.normal(0.0, 0.1, [2, 9_600]).astype(np.float32)
  samples = [9_600, 5_000]
  together = loaded.logits(waveforms, samples)
  for row, waveform, number in zip(together, waveforms, samples, strict=True):
    frames = audio_features.num_frames(number)
    alone = ENCODER(
      audio_features.log_mel(waveform[None, :number]), tf.constant([frames])
    )[0]
    np.testing.assert_allclose(row[: len(alone)], alone, atol=1e-4)


def test_an_encoder_outlives_one_made_in_a_graph():
  """TFF makes models inside a `tf.Graph`; Keras' own classes do not bear it."""
  features, lengths = random_features(30)[None], tf.constant([30])
  before = ENCODER(features, lengths)
  with tf.Graph().as_default():
    CONFIG.build()(features, tf.constant([30]), training=True)
  np.testing.assert_array_equal(ENCODER(features, lengths), before)
  np.testing.assert_array_equal(
    tf.function(ENCODER)(features, lengths).shape, before.shape
  )


def test_an_unknown_preset_is_refused():
  with pytest.raises(errors.UserError, match='tiny'):
    presets.preset('huge', 30)


def test_blocks_that_are_called_compute_what_blocks_in_the_graph_do(
  monkeypatch,
):
  features = np.random.default_rng(0).normal(size=[2, 60, 80])
  found = []
  for few in (0, 8):
    monkeypatch.setattr(transformer, '_FEW_BLOCKS', few)
    tf.keras.utils.set_random_seed(1)
    encoder = presets.preset('tiny', 30).build()
    with tf.GradientTape() as tape:
      logits = encoder(tf.constant(features, tf.float32), tf.constant([60, 50]))
      total = tf.reduce_sum(tf.square(logits))
    gradient = tape.gradient(total, encoder.blocks[0].qkv)
    found.append((logits, gradient))
  for called, inline in zip(*found, strict=True):
    np.testing.assert_allclose(called, inline, rtol=1e-4, atol=1e-4)
