"""Holds the inputs of the parts of the measurement of rounds."""

import dataclasses
import pathlib
from typing import Any

from tff_asr.benchmarks import comparison, corpora, subject
from tff_asr.corpora import client_store, preparation
from tff_asr.corpora.readers import librispeech, sources
from tff_asr.corpora.readers.synthetic import synthetic_corpus
from tff_asr.programs import execution
from tff_asr.text import vocabularies

AUDIO, FEATURES = client_store.KINDS


@dataclasses.dataclass(frozen=True)
class Inputs:
  """Holds the inputs of a part.

  Attributes:
    folder: Folder for temporary files.
    model: Name of a preset.
    input_dir: Folder of a corpus in LibriSpeech's layout, whose speakers are
      the clients; by default the speakers are synthetic.
    peer_python: A Python that has PyTorch and pfl, or `None`.
  """

  folder: pathlib.Path
  model: str
  input_dir: pathlib.Path | None = None
  peer_python: pathlib.Path | None = None

  def store(self, kind: str = AUDIO) -> str:
    """Returns the folder of a store of the corpus, made at the first call.

    Args:
      kind: One of `client_store.KINDS`.

    Raises:
      UserError: If there is no corpus at `input_dir`.
    """
    corpus = (
      librispeech.LibriSpeech([self.input_dir])
      if self.input_dir
      else synthetic_corpus.Synthetic(
        synthetic_corpus.SyntheticConfig(corpora.SPEAKERS, 0)
      )
    )
    return self.store_of(corpus, kind, kind)

  def store_of(
    self, corpus: sources.Source, name: str, kind: str = AUDIO
  ) -> str:
    """Returns the folder of a store of another corpus, made at the first call.

    Args:
      corpus: The corpus.
      name: Name of the folder.
      kind: One of `client_store.KINDS`.
    """
    path = self.folder / name
    if not path.exists():
      config = preparation.StoreConfig(vocabularies.CharacterVocabulary(), kind)
      preparation.prepare(corpus, path, config)
    return str(path)

  def config(self, **changes: Any) -> subject.SubjectConfig:
    """Returns the settings of a round of the corpus, with some changes.

    Args:
      **changes: Attributes of `subject.SubjectConfig`.
    """
    settings = {'runtime': execution.DEVICE, 'model': self.model, **changes}
    if 'store' not in settings:
      settings['store'] = self.store()
    return subject.SubjectConfig(**settings)


def program(config: subject.SubjectConfig) -> comparison.Program:
  """Returns the program that measures a subject of a store."""
  return comparison.of_module('tff_asr.benchmarks.subject', config)
