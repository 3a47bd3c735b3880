"""Word and character error rates of a model on a client store.

bazel run //pipelines:evaluate -- --model_dir=RUN --eval_store=STORE
"""

from absl import flags

from pipelines import command_line
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


def main() -> str:
  """Evaluates and returns the tables."""
  return evaluate.evaluate(
    command_line.path(_MODEL_DIR.value),
    command_line.path(_EVAL_STORE.value),
    _WORST.value,
  )


if __name__ == '__main__':
  command_line.run(main)
