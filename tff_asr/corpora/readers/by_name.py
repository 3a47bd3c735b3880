"""The table of all corpus readers.

To add a reader, write a module that offers a `registration.Reader`, and add one
line to `READERS`.  The prepare command takes its choices of a corpus, its flags
for readers and their help from this table.
"""

from collections.abc import Mapping

from tff_asr import registry
from tff_asr.corpora.readers import (
  common_voice,
  librispeech,
  manifest,
  registration,
  sources,
)
from tff_asr.corpora.readers.synthetic import synthetic_corpus

READERS: dict[str, registration.Reader] = {
  'librispeech': librispeech.READER,
  'common_voice': common_voice.READER,
  'tsv': manifest.READER,
  'synthetic': synthetic_corpus.READER,
}


def register(name: str, reader: registration.Reader) -> None:
  """Adds a reader to `READERS`.

  Args:
    name: Name of the reader.
    reader: The reader.

  Raises:
    UserError: If the name is another reader's.
  """
  registry.add(READERS, name, reader, 'corpus reader')


def settings() -> list[registration.Setting]:
  """Returns the settings of all readers, each name once."""
  return registration.merged(READERS.items())


def open_corpus(name: str, values: Mapping[str, object]) -> sources.Source:
  """Opens a corpus.

  Args:
    name: Name of the reader, a key of `READERS`.
    values: Values by name of the setting; the reader takes its own settings.

  Raises:
    UserError: If the values cannot be used.
  """
  reader = READERS[name]
  return reader.open(**{s.name: values[s.name] for s in reader.settings})
