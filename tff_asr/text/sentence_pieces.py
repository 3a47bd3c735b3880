"""Vocabularies of word pieces, with SentencePiece.

Kudo and Richardson, 2018, arXiv 1808.06226.  SentencePiece selects pieces by
their counts, so a vocabulary reveals facts about its training text.  Train it
on public text, never on clients' transcripts: such a vocabulary would be a
release about the clients that no noise protects and no epsilon counts.
"""

import base64
from collections.abc import Iterable, Iterator, Sequence
import io
import itertools
import pathlib
import re
import textwrap

import sentencepiece

from tff_asr import durable, errors
from tff_asr.text import normalisation, vocabularies

_SPACE = '\N{LOWER ONE EIGHTH BLOCK}'  # SentencePiece's sign for a space.
_LONGEST_LINE = 4_192  # Bytes; SentencePiece ignores longer lines.


class SentencePieceVocabulary(vocabularies.Vocabulary):
  """The pieces of a SentencePiece model; piece i is token i + 1."""

  def __init__(self, model: bytes):
    """Builds the vocabulary.

    Args:
      model: A serialised SentencePiece model.

    Raises:
      ValueError: If `model` is not a SentencePiece model.
    """
    self._model = model
    self._pieces = sentencepiece.SentencePieceProcessor()
    try:
      self._pieces.LoadFromSerializedProto(model)
    except RuntimeError as error:
      raise ValueError('not a SentencePiece model') from error
    letters = {
      character
      for i in range(self._pieces.GetPieceSize())
      if self._is_text(i)
      for character in self._pieces.IdToPiece(i)
    }
    self.alphabet = ' ' + ''.join(sorted(letters - {_SPACE, ' '}))
    self._texts = ('', *map(self._text, range(self._pieces.GetPieceSize())))

  def _is_text(self, piece: int) -> bool:
    pieces = self._pieces
    return not (
      pieces.IsControl(piece) or pieces.IsUnknown(piece) or pieces.IsByte(piece)
    )

  def _text(self, piece: int) -> str:
    """Returns the decoded text of a piece; all white space becomes spaces."""
    if self._is_text(piece):
      text = self._pieces.IdToPiece(piece).replace(_SPACE, ' ')
    else:
      text = self._pieces.DecodeIds([piece])
    return ''.join(' ' if c.isspace() else c for c in text)

  @property
  def size(self) -> int:
    return self._pieces.GetPieceSize() + 1

  def encode(self, text: str) -> list[int]:
    unknown = vocabularies.unknown_characters(text, self.alphabet)
    if unknown:
      raise vocabularies.OutOfVocabularyError(unknown)
    tokens = [piece + 1 for piece in self._pieces.EncodeAsIds(text)]
    if self.decode(tokens) != text:
      raise vocabularies.OutOfVocabularyError('no pieces give this text')
    return tokens

  def decode(self, tokens: Iterable[int]) -> str:
    """Returns the text of `tokens`, made from `pieces` only.

    SentencePiece's own decoder also joins the bytes of a letter.  A graph that
    looks up tokens in a table cannot do so.
    """
    return ' '.join(''.join(self._texts[token] for token in tokens).split())

  @property
  def pieces(self) -> tuple[str, ...]:
    """Text of each token; bytes and the unknown piece are decoded alone."""
    return self._texts

  def to_json(self) -> dict[str, str]:
    return {
      'type': 'sentencepiece',
      'model': base64.b64encode(self._model).decode(),
    }


def train(
  texts: Sequence[pathlib.Path], size: int, alphabet: str, output: pathlib.Path
) -> int:
  """Trains a SentencePiece model (unigram) on public text.

  Args:
    texts: Text files in UTF-8 with one sentence on each line.  The lines are
      cleaned like transcripts.  Cleaned lines with characters outside the
      alphabet are ignored.
    size: Number of pieces.
    alphabet: All characters; each is also a piece.
    output: The file to write; must not exist.

  Returns:
    Number of lines on which the model was trained.

  Raises:
    UserError: If `output` exists, a text cannot be read, no line is usable, or
      SentencePiece cannot make `size` pieces from the text.
  """
  if output.exists():
    raise errors.UserError(f'{output} exists already: give another `output`.')
  for path in texts:
    if not path.is_file():
      raise errors.UserError(f'There is no file {path}.')
  count = 0

  def counted() -> Iterator[str]:
    nonlocal count
    for line in _clean_lines(texts, alphabet):
      count += 1
      yield from _short_lines(line)

  lines = counted()
  first = next(lines, None)
  if first is None:
    raise errors.UserError(
      f'No line of {", ".join(map(str, texts))} can be written with the'
      ' alphabet: give text in UTF-8 in the language of `alphabet`.'
    )
  model = _unigram_model(itertools.chain([first], lines), size, alphabet)
  output.parent.mkdir(parents=True, exist_ok=True)
  with durable.replacing(output) as aside:
    aside.write_bytes(model)
  return count


def _unigram_model(lines: Iterator[str], size: int, alphabet: str) -> bytes:
  """Returns a serialised model of `size` pieces."""
  model = io.BytesIO()
  try:
    sentencepiece.SentencePieceTrainer.Train(
      sentence_iterator=lines,
      model_writer=model,
      vocab_size=size,
      model_type='unigram',
      character_coverage=1.0,
      required_chars=alphabet.strip(),
      normalization_rule_name='identity',
      unk_id=0,
      bos_id=-1,
      eos_id=-1,
      minloglevel=2,
    )
  except RuntimeError as error:
    raise errors.UserError(
      f'Cannot make a vocabulary of {size} pieces from this text:'
      f' {_reason(str(error))}'
    ) from error
  return model.getvalue()


def _reason(message: str) -> str:
  """Returns SentencePiece's reason, with the sizes that it would take."""
  least = re.search(r'required_chars\. \d+ vs (\d+)', message)
  if least:
    return (
      f'its characters alone are {least[1]}. Give `size={least[1]}` or more.'
    )
  most = re.search(r'a value <= (\d+)', message)
  if most:
    return (
      f'the text is too short. Give `size={most[1]}` or less, or more text.'
    )
  return message.strip().splitlines()[-1].rpartition('] ')[2]


def _clean_lines(texts: Iterable[pathlib.Path], alphabet: str) -> Iterator[str]:
  letters = set(alphabet)
  for path in texts:
    try:
      with open(path, encoding='utf-8-sig', errors='replace') as file:
        for line in file:
          line = normalisation.clean(line, alphabet)
          if line and set(line) <= letters:
            yield line
    except OSError as error:
      raise errors.UserError(f'{path}: {error.strerror}.') from error


def _short_lines(line: str) -> Iterator[str]:
  """Splits a line into parts that SentencePiece accepts, at spaces if any."""
  longest = _LONGEST_LINE // max(len(c.encode()) for c in set(line))
  yield from textwrap.wrap(line, longest, break_on_hyphens=False)
