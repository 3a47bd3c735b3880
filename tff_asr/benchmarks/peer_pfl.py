"""Measures training of small clients in pfl-research, in another environment.

The program runs in a Python that has PyTorch, NumPy and pfl (0.6), and imports
nothing of this project.  `small_clients.py` starts it, beside the program of
`small_subject.py`, which does the same work.  Both train the same encoder with
the same sizes on the same number of batches of random features in memory, with
the same optimizers, and answer each line of input with a line of JSON.

The two differ in these points:

* pfl clips an update as a whole and adds Gaussian noise in float32.  This
  project clips by layer, adds up integers and adds discrete Gaussian noise.
* All utterances of the work have one length.  This program uses that: it has no
  masks, and it computes the positions once.  This project's encoder masks the
  padding, of which there is none, and computes positions in every step.
* Attention is PyTorch's fused `scaled_dot_product_attention`.
* pfl trains one client after the other, each on all cores.
"""

import json
import math
import os
import resource
import sys
import time
import types

import numpy as np
from pfl.aggregate.simulate import SimulatedBackend
from pfl.aggregate.weighting import WeightByUser
from pfl.algorithm import NNAlgorithmParams
from pfl.algorithm.federated_averaging import FederatedAveraging
from pfl.callback.base import TrainingProcessCallback
from pfl.data.dataset import Dataset
from pfl.data.federated_dataset import FederatedDataset
from pfl.data.sampling import get_user_sampler
from pfl.hyperparam import NNEvalHyperParams, NNTrainHyperParams
from pfl.metrics import Metrics, Weighted
from pfl.model.pytorch import PyTorchModel
from pfl.privacy import CentrallyAppliedPrivacyMechanism, GaussianMechanism
import torch
from torch import nn
from torch.nn import functional

_STRIDE = 3
_KERNEL = 7
_FRAME_SECONDS = 0.01
_NEVER = 2**31 - 1  # In rounds.


class _Block(nn.Module):
  """A transformer block without biases; it normalises its inputs."""

  def __init__(self, work):
    super().__init__()
    width = work.width
    self.heads = work.heads
    self.attention_norm, self.mlp_norm = (
      nn.LayerNorm(width),
      nn.LayerNorm(width),
    )
    self.qkv = nn.Linear(width, 3 * width, bias=False)
    self.attention_out = nn.Linear(width, width, bias=False)
    self.mlp_in = nn.Linear(width, work.mlp_width, bias=False)
    self.mlp_out = nn.Linear(work.mlp_width, width, bias=False)

  def forward(self, x):
    batch, frames, width = x.shape
    qkv = self.qkv(self.attention_norm(x))
    qkv = qkv.view(batch, frames, 3, self.heads, width // self.heads)
    mixed = functional.scaled_dot_product_attention(*qkv.permute(2, 0, 3, 1, 4))
    mixed = mixed.transpose(1, 2).reshape(batch, frames, width)
    x = x + self.attention_out(mixed)
    hidden = functional.relu(self.mlp_in(self.mlp_norm(x)))
    return x + self.mlp_out(hidden)


class _Encoder(nn.Module):
  """The encoder of `tff_asr/models/transformer.py`, and its CTC loss."""

  def __init__(self, work):
    super().__init__()
    width = work.width
    self.scale = nn.Parameter(torch.ones(()))
    self.bias = nn.Parameter(torch.zeros(()))
    self.front_end = nn.Conv1d(
      work.mel_bands,
      2 * width,
      _KERNEL,
      stride=_STRIDE,
      padding=(_KERNEL - _STRIDE) // 2,
    )
    self.blocks = nn.Sequential(*[_Block(work) for _ in range(work.blocks)])
    self.final_norm = nn.LayerNorm(width)
    self.output = nn.Linear(width, work.vocabulary_size)
    frames = work.frames // _STRIDE
    seconds = (torch.arange(frames) - (frames - 1) / 2) * (
      _STRIDE * _FRAME_SECONDS
    )
    index = torch.arange(width)
    frequency = 30.0 * 10_000.0 ** (-2 * (index // 2) / width)
    phase = math.pi / 2 * (index % 2)
    positions = torch.sin(seconds[:, None] * frequency + phase)
    self.register_buffer('positions', positions)

  def forward(self, features):
    mean = features.mean((1, 2), keepdim=True)
    centred = features - mean
    variance = centred.square().mean((1, 2), keepdim=True)
    x = centred * torch.rsqrt(variance + 1e-7) * self.scale + self.bias
    x = functional.glu(self.front_end(x.transpose(1, 2)), 1).transpose(1, 2)
    return self.output(self.final_norm(self.blocks(x + self.positions)))

  def loss(self, features, tokens, eval=False):
    """Returns the mean CTC loss of the utterances, as pfl calls it."""
    del eval
    scores = self(features).log_softmax(-1).transpose(0, 1)
    frames, count, _ = scores.shape
    total = functional.ctc_loss(
      scores,
      tokens,
      torch.full((count,), frames),
      torch.full((count,), tokens.shape[1]),
      reduction='sum',
    )
    return total / count

  def metrics(self, features, tokens, eval=False):
    """Returns the metrics of an evaluation, as pfl calls it."""
    with torch.no_grad():
      loss = float(self.loss(features, tokens, eval))
    return {'loss': Weighted(loss * len(features), len(features))}


def _clients(work):
  """Returns the features and the tokens of every client."""
  rng = np.random.default_rng(0)
  size = work.utterances
  clients = []
  for _ in range(work.clients):
    features = rng.standard_normal(
      (size, work.frames, work.mel_bands), np.float32
    )
    tokens = rng.integers(1, work.vocabulary_size, (size, work.tokens))
    clients.append((torch.from_numpy(features), torch.from_numpy(tokens)))
  return clients


class _Lines(TrainingProcessCallback):
  """Answers with a line of JSON, and waits for the next line of input."""

  def __init__(self, started, parameters):
    self._since = started
    self._clock = time.time
    self._parameters = parameters

  def answer(self):
    """Reports the seconds since the last line; returns whether to go on."""
    seconds = self._clock() - self._since
    peak = 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    line = {'seconds': seconds, 'peak': peak, 'parameters': self._parameters}
    print(json.dumps(line), flush=True)
    is_asked = bool(sys.stdin.readline())
    self._clock = time.perf_counter
    self._since = self._clock()
    return is_asked

  def after_central_iteration(
    self, aggregate_metrics, model, *, central_iteration
  ):
    return not self.answer(), Metrics()


def _loop(encoder, clients, work, lines):
  """Trains the clients in order and keeps nothing."""
  variables = list(encoder.parameters())
  initial = [variable.detach().clone() for variable in variables]
  optimizer = torch.optim.SGD(variables, work.learning_rate)
  while True:
    for features, tokens in clients:
      with torch.no_grad():
        for variable, value in zip(variables, initial):  # noqa: B905
          variable.copy_(value)
      for start in range(0, work.utterances, work.batch):
        end = start + work.batch
        optimizer.zero_grad()
        encoder.loss(features[start:end], tokens[start:end]).backward()
        nn.utils.clip_grad_norm_(variables, work.gradient_clip)
        optimizer.step()
    if not lines.answer():
      return


def _rounds(encoder, clients, work, lines):
  """Runs rounds of pfl's federated averaging with central DP."""
  users = {
    str(number): Dataset(client, user_id=str(number))
    for number, client in enumerate(clients)
  }
  backend = SimulatedBackend(
    training_data=FederatedDataset(
      users.__getitem__, get_user_sampler('minimize_reuse', list(users))
    ),
    val_data=None,
    postprocessors=[
      WeightByUser(),
      CentrallyAppliedPrivacyMechanism(
        GaussianMechanism(work.clip_norm, work.noise_multiplier)
      ),
    ],
  )
  FederatedAveraging().run(
    algorithm_params=NNAlgorithmParams(
      central_num_iterations=_NEVER,
      evaluation_frequency=_NEVER,
      train_cohort_size=work.clients,
      val_cohort_size=0,
    ),
    backend=backend,
    model=PyTorchModel(
      encoder,
      local_optimizer_create=torch.optim.SGD,
      central_optimizer=torch.optim.Adam(
        encoder.parameters(), work.server_learning_rate
      ),
    ),
    model_train_params=NNTrainHyperParams(
      local_num_epochs=1,
      local_learning_rate=work.learning_rate,
      local_batch_size=work.batch,
      local_max_grad_norm=work.gradient_clip,
    ),
    model_eval_params=NNEvalHyperParams(local_batch_size=work.batch),
    callbacks=[lines],
    send_metrics_to_platform=False,  # It would print them.
  )


def main():
  """Trains a cohort in the way of the last argument, for lines of input."""
  settings = json.loads(sys.argv[-1])
  work = types.SimpleNamespace(**settings['config']['work'])
  torch.set_num_threads(os.cpu_count())
  torch.manual_seed(0)
  encoder = _Encoder(work)
  parameters = sum(p.numel() for p in encoder.parameters())
  lines = _Lines(settings['started'], parameters)
  train = {'loop': _loop, 'round': _rounds}[settings['config']['way']]
  train(encoder, _clients(work), work, lines)


if __name__ == '__main__':
  main()
