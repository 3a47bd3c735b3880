"""Runs rounds of Algorithm 1 eagerly: the oracle of federated training.

Algorithm 1 of Pelikan et al. (2025, arXiv 2310.00098), in the paper's symbols;
a layer h is a tensor of the model.  The paper says "user" and "central step"
where this project says "client" and "round".  This module uses the project's
model and loss, but none of its clipping, aggregation and optimizers.
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
    q: Probability with which a client is sampled.
    C: L2 bound of a client's update; adaptive bounds begin with it.
    bounds: `uniform`, `dim` or `adaptive`.
    optimizer: Name of the server's optimizer, in `OPTIMIZERS`.
    eta: Learning rate of the server's optimizer.
    C_loc: L2 bound of a local gradient.
    eta_loc: Learning rate of local SGD.
    z: Noise multiplier: the noise on the sum has standard deviation z C.  It
      must be 0 with adaptive bounds: the project divides z between the update
      and the clip bits, and this module does not.
    gamma: Share of the clients that adaptive bounds leave unclipped.
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

  def __post_init__(self):
    if self.bounds == 'adaptive' and self.z:
      raise ValueError('Adaptive bounds are for z = 0 only.')


@dataclasses.dataclass(frozen=True)
class State:
  """The server after round t; a list has an item for each layer.

  Attributes:
    t: Number of the round.
    theta: Weights, float32.
    C_h: Clipping bounds of the next round.
    m: First moments of the server's optimizer.
    v: Second moments of the server's optimizer.
    cohort: Sampled clients.
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
  """Returns the server before the first round; definition 3 has the bounds."""
  d = np.array([w.size for w in theta])
  shares = d / d.sum() if run.bounds == 'dim' else np.full(d.shape, 1 / d.size)
  zeros = [np.zeros(w.shape) for w in theta]
  return State(0, theta, run.C * np.sqrt(shares), zeros, zeros)


def one_round(
  encoder: tf.keras.Model,
  state: State,
  clients: Mapping[str, Sequence[dict[str, np.ndarray]]],
  run: Settings,
  rng: np.random.Generator,
) -> State:
  """Returns the server after the next round.

  Args:
    encoder: The model; its weights are overwritten.
    state: The server before the round.
    clients: A list of batches for each client.
    run: The settings.
    rng: Source of the cohort and the noise.
  """
  t, C_h, S = state.t + 1, state.C_h, run.q * len(clients)
  theta, m, v = list(state.theta), list(state.m), list(state.v)
  layers = range(len(theta))
  # Sample the cohort: each client with probability q, independently.
  cohort = [k for k in clients if rng.random() < run.q]
  total = [np.zeros(w.shape) for w in theta]
  unclipped = np.zeros(len(theta))
  for k in cohort:
    # Train on the client, from the server's weights.
    Delta_k = local_update(encoder, theta, clients[k], run)
    # Clip each layer of the update to its bound, and add up.
    for h in layers:
      total[h] += clip_factor(C_h[h], Delta_k[h]) * Delta_k[h]
      unclipped[h] += norm(Delta_k[h]) <= C_h[h]
  # Add noise of standard deviation z C, and divide by the expected cohort S.
  C = norm(C_h)
  noise = [run.z * C * rng.normal(size=w.shape) for w in theta]
  Delta = [(total[h] + noise[h]) / S for h in layers]
  # Update the weights with the pseudo-gradient Delta; the paper uses LAMB.
  step = OPTIMIZERS[run.optimizer]
  for h in layers:
    w, m[h], v[h] = step(theta[h], Delta[h], m[h], v[h], t, run.eta)
    theta[h] = w.astype(np.float32)
  # Adapt the bounds (Andrew et al., 2021, arXiv 1905.03871) to the share of
  # unclipped clients among the S expected clients.  An expected client that was
  # not sampled counts half, as neither unclipped nor clipped.
  if run.bounds == 'adaptive':
    share = np.clip((unclipped + (S - len(cohort)) / 2) / S, 0.0, 1.0)
    C_h = C_h * np.exp(-run.eta_C * (share - run.gamma))
  return State(t, theta, C_h, m, v, cohort, Delta)


def local_update(encoder, theta, batches, run) -> list[np.ndarray]:
  """Returns Delta_k = theta - theta_k, after SGD on all batches of client k."""
  theta_k = theta
  for batch in batches:
    encoder.set_weights(theta_k)
    with tf.GradientTape() as tape:
      loss = speech_model.batch_loss(encoder, batch, training=True)
    g = [x.numpy() for x in tape.gradient(loss, encoder.trainable_variables)]
    # The whole gradient is clipped to C_loc.
    step = run.eta_loc * clip_factor(run.C_loc, *g)
    theta_k = [w - step * g_h for w, g_h in zip(theta_k, g, strict=True)]
  return [w - w_k for w, w_k in zip(theta, theta_k, strict=True)]


def norm(*tensors) -> float:
  """Returns the L2 norm over all tensors."""
  return float(
    np.sqrt(sum(np.sum(np.square(x, dtype=np.float64)) for x in tensors))
  )


def clip_factor(C, *tensors) -> float:
  """Returns the factor that scales the tensors to a joint norm of at most C."""
  return float(C / max(C, norm(*tensors)))


def lamb(w, g, m, v, t, eta):
  """Takes a step of LAMB (You et al., 2020, arXiv 1904.00962)."""
  m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g**2
  u = (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + 1e-6)
  trust = norm(w) / norm(u) if norm(w) > 0 and norm(u) > 0 else 1.0
  return w - eta * trust * u, m, v


def lars(w, g, m, v, t, eta):
  """Takes a step of LARS (You et al., 2017, arXiv 1708.03888)."""
  trust = 0.001 * norm(w) / (norm(g) + 1e-6)
  m = 0.9 * m + eta * (trust if norm(w) > 0 and norm(g) > 0 else 1.0) * g
  return w - m, m, v


def adam(w, g, m, v, t, eta):
  """Takes a step of Adam (Kingma and Ba, 2015, arXiv 1412.6980, section 2)."""
  m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g**2
  eta_t = eta * np.sqrt(1 - 0.999**t) / (1 - 0.9**t)
  return w - eta_t * m / (np.sqrt(v) + 1e-7), m, v


OPTIMIZERS = {'lamb': lamb, 'lars': lars, 'adam': adam}
