r"""Word and character error rates of a model on a client store.

bazel run //pipelines:evaluate -- --model_dir=RUN --eval_store=STORE
bazel run //pipelines:evaluate -- --model_dir=RUN --eval_store=STORE \
    --personalise_epochs=5
"""

from absl import flags

from pipelines import command_line
from tff_asr.learning import personalisation
from tff_asr.programs import evaluate

_MODEL_DIR = flags.DEFINE_string(
  'model_dir', None, "Folder of a model, or a run's output.", required=True
)
_EVAL_STORE = flags.DEFINE_string(
  'eval_store', None, 'Client store to evaluate on.', required=True
)
_WORST = flags.DEFINE_integer(
  'worst', 10, 'How many of the worst utterances are shown.', lower_bound=0
)

_PERSONALISE_EPOCHS = flags.DEFINE_integer(
  'personalise_epochs',
  0,
  'Tune the model on every second utterance of each speaker in turn, with as'
  ' many passes, and compare it on the others; 0 for not.',
  lower_bound=0,
)
_PERSONALISE_LEARNING_RATE = flags.DEFINE_float(
  'personalise_learning_rate', 0.1, 'Step of SGD on a speaker.'
)
_PERSONALISE_BATCH_SECONDS = flags.DEFINE_float(
  'personalise_batch_seconds',
  16.0,
  'Seconds of audio in a batch of a speaker, padding included.',
)


def main() -> str:
  """Evaluates and returns the tables."""
  return evaluate.evaluate(
    command_line.path(_MODEL_DIR.value),
    command_line.path(_EVAL_STORE.value),
    _WORST.value,
    _personalisation(),
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
