r"""Prepares a client store from a corpus or from synthetic speakers.

bazel run //pipelines:prepare -- --source=librispeech \
      --input_dir=LibriSpeech/train-clean-100 --output=stores/clean-100
bazel run //pipelines:prepare -- --source=common_voice --splits=train \
      --input_dir=cv-corpus-13.0-2023-03-09/fr --vocabulary=fr \
      --output=stores/cv-fr-train
bazel run //pipelines:prepare -- --source=tsv --manifest=utterances.tsv \
      --output=stores/mine
bazel run //pipelines:prepare -- --source=synthetic --clients=64 \
      --output=stores/synthetic

To resume an interrupted call, repeat the command.
"""

import pathlib

from absl import flags

from pipelines import command_line, flag_kinds
from tff_asr import durable, errors
from tff_asr.commands import prepare
from tff_asr.corpora import client_store, holdout, preparation
from tff_asr.corpora.readers import common_voice, librispeech, manifest, source
from tff_asr.corpora.readers.synthetic import synthetic_corpus
from tff_asr.text import vocabularies

_SOURCE = flags.DEFINE_enum(
  'source',
  'librispeech',
  ['librispeech', 'common_voice', 'tsv', 'synthetic'],
  'What is read.',
)
_INPUT_DIR = flag_kinds.define_paths(
  'input_dir',
  [],
  'Folder of the corpus (librispeech: or several, parted by commas;'
  ' common_voice: that of one language).',
)
_SPLITS = flags.DEFINE_list(
  'splits',
  ['train'],
  'Official splits, parted by commas: train, dev, test (common_voice).',
)
_MANIFEST = flag_kinds.define_path(
  'manifest',
  '',
  'Tab-separated table with the columns client_id, path, text, and utterance_id'
  ' if wanted; paths start in its folder (tsv).',
)
_OUTPUT = flag_kinds.define_path(
  'output', None, 'Folder of the store; must not exist.', required=True
)
_STORE = flags.DEFINE_enum(
  'store',
  'audio',
  client_store.KINDS,
  'What utterances are kept as: audio, or log-mel features, ready to train on.',
)
_VOCABULARY = flag_kinds.define_vocabulary(
  'vocabulary',
  'en',
  'Characters of a language (en, fr, de), or spm:FILE, a SentencePiece model.',
)
_MAX_SECONDS = flags.DEFINE_float(
  'max_seconds', 30.0, 'Utterances of more seconds are left out.'
)
_HOLDOUT_CLIENTS = flags.DEFINE_float(
  'holdout_clients',
  0.0,
  'Speakers who go to a store of their own, OUTPUT-holdout: their number, or'
  ' below 1 the probability with which each of them does; 0 for none.',
  lower_bound=0.0,
)
_SEED = flags.DEFINE_integer(
  'seed',
  0,
  'Seed of the hold-out, and of all that is drawn (synthetic).',
  lower_bound=0,
  upper_bound=2**32 - 1,
)
_CLIENTS = flags.DEFINE_integer(
  'clients', 64, 'Number of speakers (synthetic).', lower_bound=1
)
_DEFAULTS = synthetic_corpus.SyntheticConfig(clients=1, seed=0)
_MEAN_UTTERANCES = flags.DEFINE_float(
  'mean_utterances',
  _DEFAULTS.mean_utterances,
  'Mean number of utterances of a speaker (synthetic).',
)
_QUANTITY_SHAPE = flags.DEFINE_float(
  'quantity_shape',
  _DEFAULTS.quantity_shape,
  'Shape of the Pareto law of the number of utterances, above 1: the lower, the'
  ' more unequal the speakers (synthetic).',
)
_TOPIC_CONCENTRATION = flags.DEFINE_float(
  'topic_concentration',
  _DEFAULTS.topic_concentration,
  'Of the Dirichlet law of topics: low, each speaker has few; high, all have'
  ' all (synthetic).',
)
_VOICE_SPREAD = flags.DEFINE_float(
  'voice_spread',
  _DEFAULTS.voice_spread,
  'How much voices differ between speakers, from 0 to 1 (synthetic).',
)
_ROOM_SPREAD = flags.DEFINE_float(
  'room_spread',
  _DEFAULTS.room_spread,
  'How much rooms and microphones differ, from 0 to 1 (synthetic).',
)
_NOISE_SPREAD = flags.DEFINE_float(
  'noise_spread',
  _DEFAULTS.noise_spread,
  'How much background noise differs, from 0 to 1 (synthetic).',
)
_HELD_OUT_VOICES = flags.DEFINE_bool(
  'held_out_voices',
  False,
  'Speakers have the voices that no others have, for evaluation (synthetic).',
)


def main() -> str:
  """Prepares the store and returns a table of its contents."""
  errors.require_positive(max_seconds=_MAX_SECONDS.value)
  config = preparation.StoreConfig(
    vocabularies.by_name(_VOCABULARY.value, command_line.path('')),
    _STORE.value,
    _MAX_SECONDS.value,
  )
  held_out = None
  if _HOLDOUT_CLIENTS.value:
    held_out = holdout.Holdout(_HOLDOUT_CLIENTS.value, _SEED.value)
  output = pathlib.Path(_OUTPUT.value)
  with durable.writing(output):
    return prepare.prepare(_source(), output, config, held_out)


def _source() -> source.Source:
  if _SOURCE.value == 'synthetic':
    return synthetic_corpus.Synthetic(
      synthetic_corpus.SyntheticConfig(
        clients=_CLIENTS.value,
        seed=_SEED.value,
        mean_utterances=_MEAN_UTTERANCES.value,
        quantity_shape=_QUANTITY_SHAPE.value,
        topic_concentration=_TOPIC_CONCENTRATION.value,
        voice_spread=_VOICE_SPREAD.value,
        room_spread=_ROOM_SPREAD.value,
        noise_spread=_NOISE_SPREAD.value,
        held_out_voices=_HELD_OUT_VOICES.value,
      )
    )
  if _SOURCE.value == 'tsv':
    if not _MANIFEST.value:
      raise errors.UserError('Give --manifest, a table of utterances.')
    return manifest.Manifest(pathlib.Path(_MANIFEST.value))
  folders = [pathlib.Path(folder) for folder in _INPUT_DIR.value]
  if not folders:
    raise errors.UserError('Give --input_dir, the folder of the corpus.')
  if _SOURCE.value == 'librispeech':
    return librispeech.LibriSpeech(folders)
  if len(folders) > 1:
    raise errors.UserError('Common Voice is read from one --input_dir.')
  return common_voice.CommonVoice(folders[0], _SPLITS.value)


if __name__ == '__main__':
  command_line.run(main)
