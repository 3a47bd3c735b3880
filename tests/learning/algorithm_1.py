"""Runs central steps of Algorithm 1 eagerly: the oracle of federated training.

Algorithm 1 of Pelikan et al. (2025, arXiv 2310.00098), in the paper's symbols;
a layer h is a tensor of the model.  This module uses the project's model and
loss, but none of its clipping, aggregation and optimizers.
"""

# ruff: noqa: N803, N806, N815 -- Symbols of the paper.

from collections.abc import Mapping, Sequence
import dataclasses

import numpy as np
import tensorflow as tf

from tff_asr.learning import speech_model


@dataclasses.dataclass(frozen=True)
class Settings:
  """The settings of a run.

  Attributes:
    q: Probability with which a user is sampled.
    C: L2 bound of a user's update; adaptive bounds begin with it.
    bounds: `uniform`, `dim` or `adaptive`.
    optimizer: Name of the server's optimizer, in `OPTIMIZERS`.
    eta: Learning rate of the server's optimizer.
    C_loc: L2 bound of a local gradient.
    eta_loc: Learning rate of local SGD.
    z: Noise multiplier: the noise on the sum has standard deviation z C.
    gamma: Share of the users that adaptive bounds leave unclipped.
    eta_C: Learning rate of adaptive bounds.
  """

  q: float
  C: float
  bounds: str
  optimizer: str
  eta: float
  C_loc: float
  eta_loc: float
  z: float = 0.0
  gamma: float = 0.5
  eta_C: float = 0.2


@dataclasses.dataclass(frozen=True)
class State:
  """The server after central step t; a list has an item for each layer.

  Attributes:
    t: Number of the step.
    theta: Weights, float32.
    C_h: Clipping bounds of the next step.
    m: First moments of the server's optimizer.
    v: Second moments of the server's optimizer.
    cohort: Sampled users.
    Delta: Pseudo-gradient.
  """

  t: int
  theta: list[np.ndarray]
  C_h: np.ndarray
  m: list[np.ndarray]
  v: list[np.ndarray]
  cohort: Sequence[str] = ()
  Delta: Sequence[np.ndarray] = ()


def initial(theta: list[np.ndarray], run: Settings) -> State:
  """Returns the server before the first step; definition 3 has the bounds."""
  d = np.array([w.size for w in theta])
  shares = d / d.sum() if run.bounds == 'dim' else np.full(d.shape, 1 / d.size)
  zeros = [np.zeros(w.shape) for w in theta]
  return State(0, theta, run.C * np.sqrt(shares), zeros, zeros)


def central_step(
  encoder: tf.keras.Model,
  state: State,
  users: Mapping[str, Sequence[dict[str, np.ndarray]]],
  run: Settings,
  rng: np.random.Generator,
) -> State:
  """Returns the server after the next step; each user has a list of batches."""
  t, theta, C_h, S = state.t + 1, state.theta, state.C_h, run.q * len(users)
  # Draw the cohort: every user with probability q, independent of the others.
  cohort = [k for k in users if rng.random() < run.q]
  total = [np.zeros(w.shape) for w in theta]
  bits = np.zeros(C_h.shape)
  for k in cohort:
    # Local SGD from the server's weights; every gradient is clipped to C_loc.
    Delta_k = local_update(encoder, theta, users[k], run)
    # Clip every layer of the update to its bound C_h.
    norms = np.array([norm([layer]) for layer in Delta_k])
    Delta_k = [clip([layer], c)[0] for layer, c in by_layer(Delta_k, C_h)]
    # Add up.
    total = [a + b for a, b in by_layer(total, Delta_k)]
    bits += np.where(norms <= C_h, 0.5, -0.5)
  # Add noise of standard deviation z C, and divide by the expected cohort S.
  C = np.sqrt(np.sum(C_h**2))
  noise = [run.z * C / S * rng.normal(size=w.shape) for w in theta]
  Delta = [layer / S + n for layer, n in by_layer(total, noise)]
  # The server's step along the pseudo-gradient: LAMB in the paper.
  step = OPTIMIZERS[run.optimizer]
  layers = by_layer(theta, Delta, state.m, state.v)
  theta, m, v = by_layer(*(step(*layer, t, run.eta) for layer in layers))
  theta = [w.astype(np.float32) for w in theta]
  # Adaptive bounds (Andrew et al., 2021, arXiv 1905.03871) follow the share of
  # users that were within them.
  if run.bounds == 'adaptive':
    within = np.clip(bits / S + 0.5, 0.0, 1.0)
    C_h = C_h * np.exp(-run.eta_C * (within - run.gamma))
  return State(t, theta, C_h, m, v, cohort, Delta)


def local_update(encoder, theta, batches, run) -> list[np.ndarray]:
  """Returns Delta_k = theta - theta_k, after SGD on all batches of user k."""
  theta_k = theta
  variables = encoder.trainable_variables
  for batch in batches:
    for variable, value in by_layer(variables, theta_k):
      variable.assign(value)
    with tf.GradientTape() as tape:
      loss = speech_model.batch_loss(encoder, batch, training=True)
    g = clip([g.numpy() for g in tape.gradient(loss, variables)], run.C_loc)
    theta_k = [w - run.eta_loc * g_h for w, g_h in by_layer(theta_k, g)]
  return [w - w_k for w, w_k in by_layer(theta, theta_k)]


def by_layer(*lists):
  """Returns tuples with the items of each layer."""
  return zip(*lists, strict=True)


def norm(tensors) -> float:
  """Returns the L2 norm over all tensors."""
  return np.sqrt(sum(np.sum(np.square(x, dtype=np.float64)) for x in tensors))


def clip(tensors, C) -> list[np.ndarray]:
  """Returns v C / max(C, ||v||), of the type of v."""
  return [(x * (C / max(C, norm(tensors)))).astype(x.dtype) for x in tensors]


def lamb(w, g, m, v, t, eta):
  """Takes a step of LAMB (You et al., 2020, arXiv 1904.00962)."""
  m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g**2
  u = (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + 1e-6)
  trust = norm([w]) / norm([u]) if norm([w]) > 0 and norm([u]) > 0 else 1.0
  return w - eta * trust * u, m, v


def lars(w, g, m, v, t, eta):
  """Takes a step of LARS (You et al., 2017, arXiv 1708.03888)."""
  trust = 0.001 * norm([w]) / (norm([g]) + 1e-6)
  m = 0.9 * m + eta * (trust if norm([w]) > 0 and norm([g]) > 0 else 1.0) * g
  return w - m, m, v


def adam(w, g, m, v, t, eta):
  """Takes a step of Adam (Kingma and Ba, 2015, arXiv 1412.6980, section 2)."""
  m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g**2
  eta_t = eta * np.sqrt(1 - 0.999**t) / (1 - 0.9**t)
  return w - eta_t * m / (np.sqrt(v) + 1e-7), m, v


OPTIMIZERS = {'lamb': lamb, 'lars': lars, 'adam': adam}
