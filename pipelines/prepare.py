r"""Prepares a client store from a corpus or from synthetic speakers.

  ./bazelw run //pipelines:prepare -- --source=librispeech \
      --input_dir=LibriSpeech/train-clean-100 --output=stores/clean-100
  ./bazelw run //pipelines:prepare -- --source=common_voice --splits=train \
      --input_dir=cv-corpus-13.0-2023-03-09/fr --vocabulary=fr \
      --output=stores/cv-fr-train
  ./bazelw run //pipelines:prepare -- --source=tsv --manifest=utterances.tsv \
      --output=stores/mine
  ./bazelw run //pipelines:prepare -- --source=synthetic --clients=64 \
      --output=stores/synthetic

To resume an interrupted call, repeat the command.
"""

import pathlib

from absl import flags

from pipelines import command_line, flag_kinds, reader_flags
from tff_asr import durable, errors
from tff_asr.commands import prepare
from tff_asr.corpora import client_store, holdouts, preparation
from tff_asr.corpora.readers import by_name
from tff_asr.text import vocabulary_loading

_SOURCE = flags.DEFINE_enum(
  'source',
  'librispeech',
  [*by_name.READERS],
  'Kind of the corpus. '
  + ' '.join(f'{name}: {r.help}' for name, r in by_name.READERS.items()),
)
_OUTPUT = flag_kinds.define_path(
  'output',
  None,
  'Folder of the store; must not exist. To resume an interrupted call, repeat'
  ' the command.',
  required=True,
)
_STORE = flags.DEFINE_enum(
  'store',
  'audio',
  client_store.KINDS,
  'Form of the stored utterances: audio, or log-mel features, which need no'
  ' computation in training.',
)
_VOCABULARY = flag_kinds.define_vocabulary(
  'vocabulary',
  'en',
  'Vocabulary of the texts: the characters of a language (en, fr, de), or'
  ' spm:FILE, a SentencePiece model.',
)
_MAX_SECONDS = flags.DEFINE_float(
  'max_seconds',
  30.0,
  'Greatest length of an utterance in seconds; longer ones are left out.',
)
_HOLDOUT_CLIENTS = flags.DEFINE_float(
  'holdout_clients',
  0.0,
  'Speakers held out in a second store, OUTPUT-holdout: their number, or, below'
  ' 1, the probability of each speaker to be held out; 0 for none.',
  lower_bound=0.0,
)
_SEED = flags.DEFINE_integer(
  'seed',
  0,
  'Seed of the random draws: of held-out speakers and of synthetic speakers.',
  lower_bound=0,
  upper_bound=2**32 - 1,
)
_DEFINED = {'seed': _SEED}
_READER_SETTINGS = reader_flags.define(by_name.settings(), _DEFINED)


def main() -> str:
  """Prepares the store and returns a table of its contents."""
  errors.require_positive(max_seconds=_MAX_SECONDS.value)
  reader_flags.check(_SOURCE.value, by_name.READERS, _DEFINED)
  config = preparation.StoreConfig(
    vocabulary_loading.by_name(_VOCABULARY.value, command_line.path('')),
    _STORE.value,
    _MAX_SECONDS.value,
  )
  held_out = None
  if _HOLDOUT_CLIENTS.value:
    held_out = holdouts.Holdout(_HOLDOUT_CLIENTS.value, _SEED.value)
  output = pathlib.Path(_OUTPUT.value)
  with durable.writing(output):
    corpus = by_name.open_corpus(_SOURCE.value, _READER_SETTINGS())
    return prepare.prepare(corpus, output, config, held_out)


if __name__ == '__main__':
  command_line.run(main)
