r"""Makes a SentencePiece vocabulary from public text.

  ./bazelw run //pipelines:vocabulary -- --text=books.txt,news.txt --size=500 \
      --output=english-500.model
  ./bazelw run //pipelines:prepare -- --vocabulary=spm:english-500.model ...

Do not use transcripts of clients. The pieces come from counts in the text, so a
vocabulary reveals the text, and no noise protects it.
"""

import pathlib

from absl import flags

from pipelines import command_line, flag_kinds
from tff_asr.text import sentence_pieces, vocabularies

_TEXT = flag_kinds.define_paths(
  'text',
  None,
  'Public text: files in UTF-8, separated by commas, with a sentence on each'
  ' line.',
  required=True,
)
_SIZE = flags.DEFINE_integer(
  'size', 500, 'Number of pieces in the vocabulary.', lower_bound=1
)
_ALPHABET = flags.DEFINE_enum(
  'alphabet',
  'en',
  sorted(vocabularies.ALPHABETS),
  'Language of the text; its alphabet decides how the text is normalised.',
)
_OUTPUT = flag_kinds.define_path(
  'output',
  None,
  'File of the SentencePiece model; must not exist.',
  required=True,
)


def main() -> str:
  """Makes the vocabulary and returns a line about it."""
  output = pathlib.Path(_OUTPUT.value)
  lines = sentence_pieces.train(
    [pathlib.Path(text) for text in _TEXT.value],
    _SIZE.value,
    vocabularies.ALPHABETS[_ALPHABET.value],
    output,
  )
  return f'{_SIZE.value} pieces from {lines} lines: {output}'


if __name__ == '__main__':
  command_line.run(main)
