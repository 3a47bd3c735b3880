r"""Measures the error rates of a model on a client store.

Examples:
  ./bazelw run //pipelines:evaluate -- --model_dir=RUN --eval_store=STORE
  ./bazelw run //pipelines:evaluate -- --model_dir=RUN --eval_store=STORE \
      --personalise_epochs=5
  ./bazelw run //pipelines:evaluate -- --model_dir=RUN --eval_store=STORE \
      --beam=50 --lm=FILE.arpa
"""

import pathlib

from absl import flags

from pipelines import command_line, flag_kinds
from tff_asr.commands import evaluate
from tff_asr.learning import personalisation

_MODEL_DIR = flag_kinds.define_path(
  'model_dir', None, 'Folder of a model, or of a run.', required=True
)
_EVAL_STORE = flag_kinds.define_path(
  'eval_store', None, 'Client store to evaluate on.', required=True
)
_WORST = flags.DEFINE_integer(
  'worst', 10, 'Number of the worst utterances to show.', lower_bound=0
)

_RELEASE_UNPROTECTED_METRICS = flags.DEFINE_boolean(
  'release_unprotected_metrics',
  False,
  'Evaluate clients of the private run that trained the model as well, for'
  ' research. The figures have no noise and no guarantee.',
)
_BEAM = flags.DEFINE_integer(
  'beam',
  0,
  'Width of the prefix beam search; 0 for greedy decoding.',
)
_LM = flag_kinds.define_path(
  'lm',
  None,
  'Word n-gram language model for the beam search: an ARPA file, gzipped if its'
  ' name ends in .gz.',
)
_LM_WEIGHT = flags.DEFINE_float(
  'lm_weight',
  None,
  "Weight of the language model's log-probability. By default"
  f' {evaluate.LM_WEIGHT}.',
)
_WORD_BONUS = flags.DEFINE_float(
  'word_bonus',
  None,
  'Bonus on the log-probability for every word, in nats; may be negative. By'
  f' default {evaluate.WORD_BONUS} with a language model and 0 without.',
)

_PERSONALISE_EPOCHS = flags.DEFINE_integer(
  'personalise_epochs',
  0,
  'Number of passes that fine-tune the model on half of the utterances of each'
  ' speaker; the other half is the test, before and after. 0 for no'
  ' personalisation.',
  lower_bound=0,
)
_PERSONALISE_LEARNING_RATE = flags.DEFINE_float(
  'personalise_learning_rate', 0.1, 'Learning rate of SGD in personalisation.'
)
_PERSONALISE_BATCH_SECONDS = flags.DEFINE_float(
  'personalise_batch_seconds',
  16.0,
  'Seconds of audio in a batch of personalisation, padding included.',
)


def main() -> str:
  """Evaluates and returns the tables."""
  decoding = evaluate.Decoding(
    _BEAM.value,
    pathlib.Path(_LM.value) if _LM.value else None,
    _LM_WEIGHT.value,
    _WORD_BONUS.value,
  )
  return evaluate.evaluate(
    pathlib.Path(_MODEL_DIR.value),
    pathlib.Path(_EVAL_STORE.value),
    _WORST.value,
    _personalisation(),
    decoding,
    _RELEASE_UNPROTECTED_METRICS.value,
  )


def _personalisation() -> personalisation.PersonalisationConfig | None:
  if not _PERSONALISE_EPOCHS.value:
    return None
  return personalisation.PersonalisationConfig(
    epochs=_PERSONALISE_EPOCHS.value,
    learning_rate=_PERSONALISE_LEARNING_RATE.value,
    batch_seconds=_PERSONALISE_BATCH_SECONDS.value,
  )


if __name__ == '__main__':
  command_line.run(main)
