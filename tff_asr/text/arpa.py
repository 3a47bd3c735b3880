r"""Word n-gram language models with back-off, from files in the ARPA format.

SRILM, KenLM and IRSTLM write this format: counts after `\data\`, then a section
for each order.  A line has a log10 probability, the words and, if the n-gram is
a context, a log10 back-off weight.  The probability of a word is the
probability of the longest listed n-gram times the back-off weights of the
longer contexts (Katz, 1987).
"""

import bisect
from collections.abc import Iterator, Mapping
import gzip
import math
import pathlib
import re
import zlib

from tff_asr import errors
from tff_asr.text import letters, normalisation

START, END, UNKNOWN = '<s>', '</s>', '<unk>'
_SIGNS = {START, END, UNKNOWN}  # Files may have them in capitals, too.
# Penalty of an unknown word in addition to the log-probability of `<unk>`, in
# nats: log10 -10, the default `unk_score_offset` of pyctcdecode.  `<unk>`
# stands for all unknown words together, so its probability is too high for a
# single unknown word.  KenLM's -100 for a file without `<unk>` would in effect
# forbid new words.
UNKNOWN_PENALTY = -10.0 * math.log(10.0)

State = tuple[str, ...]

_NGram = tuple[str, ...]
_NATS = math.log(10.0)
_LOG_ZERO = -99.0  # SRILM's log10 of probability 0, for example of `<s>`.
# IRSTLM writes log10 probabilities that are above 0 by as much as this.
_ROUNDING = 1e-2
# Least share of the words that the letters of the acoustic model must write.
_LEAST_SHARE = 0.1
_MARK = re.compile(r'\\(\d+)-grams:')
_COUNT = re.compile(r'(\d+)=(\d+)')
_OTHER_FORMATS = ('iARPA', 'qARPA', 'blmt', 'Qblmt')


class LanguageModel:
  """A language model: the probability of a word after other words.

  Attributes:
    order: Number of words in the longest n-grams.
    start: State at the beginning of a sentence.
  """

  def __init__(
    self, log_probs: Mapping[_NGram, float], back_offs: Mapping[_NGram, float]
  ):
    """Builds a model.

    Args:
      log_probs: By n-gram, the log-probability in nats of its last word after
        its other words.
      back_offs: By context, the log back-off weight in nats; 0 if the context
        is missing.
    """
    self._log_probs = log_probs
    self._back_offs = back_offs
    self._has_unknown = (UNKNOWN,) in log_probs
    self._sorted = sorted(ngram[0] for ngram in log_probs if len(ngram) == 1)
    self.order = max(map(len, log_probs), default=1)
    self.start: State = self._shortened((START,))

  def __contains__(self, word: str) -> bool:
    return (word,) in self._log_probs

  def begins_word(self, letters: str) -> bool:
    """Returns whether a word of the model begins with, or equals, `letters`."""
    place = bisect.bisect_left(self._sorted, letters)
    return place < len(self._sorted) and self._sorted[place].startswith(letters)

  def score(self, state: State, word: str) -> tuple[float, State]:
    """Returns the score of a known or unknown word.

    Args:
      state: The preceding words, at most `order - 1`; `start` for the first
        word.
      word: The word, in the form of the model's words.

    Returns:
      The log-probability in nats and the state after the word.  An unknown word
      gets the log-probability of `<unk>` plus `UNKNOWN_PENALTY`; in a model
      without `<unk>`, only `UNKNOWN_PENALTY`.
    """
    if word in self:
      return self._log_prob(state, word), self._shortened((*state, word))
    after = self._shortened((*state, UNKNOWN))
    if not self._has_unknown:
      return UNKNOWN_PENALTY, after
    return UNKNOWN_PENALTY + self._log_prob(state, UNKNOWN), after

  def end(self, state: State) -> float:
    """Returns the log-probability in nats that the sentence ends after `state`.

    The result is 0 if the model has no `</s>`.
    """
    return self._log_prob(state, END) if END in self else 0.0

  def _log_prob(self, state: State, word: str) -> float:
    back_off = 0.0
    for start in range(len(state) + 1):
      context = state[start:]
      found = self._log_probs.get((*context, word))
      if found is not None:
        return back_off + found
      back_off += self._back_offs.get(context, 0.0)
    raise KeyError(word)

  def _shortened(self, words: _NGram) -> State:
    return words[max(0, len(words) - self.order + 1) :]


def read(path: pathlib.Path, alphabet: str) -> LanguageModel:
  """Reads a language model from a file in the ARPA format.

  Words with characters outside `alphabet` are cleaned like transcripts
  (capitals become small letters), so that hypotheses match them.  If two
  n-grams become equal, the more probable one counts.

  Args:
    path: The file; gzipped if its name ends in `.gz`.
    alphabet: All characters in the output of the acoustic model.

  Raises:
    UserError: If the file cannot be read or is malformed, or if the alphabet
      can write only few of its words.
  """
  if not path.is_file():
    raise errors.UserError(f'There is no file {path}.')
  reader = _Reader(path, alphabet)
  try:
    for line in _lines(path):
      reader.take(line)
  except UnicodeDecodeError as error:
    raise errors.UserError(
      f'{path}: after line {reader.number} the file is not text in UTF-8. Give'
      ' an ARPA file; the name of a gzipped file must end in .gz.'
    ) from error
  except (EOFError, gzip.BadGzipFile, zlib.error) as error:
    raise errors.UserError(
      f'{path}: after line {reader.number} the file is cut off, or not gzipped'
      f' although its name ends in .gz: {error}.'
    ) from error
  except OSError as error:
    raise errors.UserError(f'{path}: {error.strerror}.') from error
  return reader.model()


def _lines(path: pathlib.Path) -> Iterator[str]:
  opener = gzip.open if path.suffix == '.gz' else open
  with opener(path, 'rt', encoding='utf-8-sig', newline='\n') as file:
    yield from file


class _Reader:
  """Parses the lines of an ARPA file in order.

  Attributes:
    number: Number of the last line, from 1.
  """

  def __init__(self, path: pathlib.Path, alphabet: str):
    self._path = path
    self._alphabet = alphabet
    self._letters = letters.of(alphabet)
    self.number = 0
    self._counts: dict[int, int] | None = None  # Declared counts by order.
    self._order = 0  # Order of the current section.
    self._found: dict[int, int] = {}  # Number of a section's lines by order.
    self._is_ended = False
    self._words: dict[str, str] = {}  # From words of the file to cleaned words.
    self._writable = 0
    self._log_probs: dict[_NGram, float] = {}
    self._back_offs: dict[_NGram, float] = {}

  def take(self, line: str) -> None:
    """Parses the next line."""
    self.number += 1
    # Not `split()`: a word may contain other white space, such as a no-break
    # space.
    fields = line.replace('\t', ' ').strip(' \r\n').split(' ')
    if '' in fields:
      fields = [field for field in fields if field]
    if not fields or self._is_ended:
      return
    if self._counts is None:
      self._take_preamble(fields[0])
    elif fields[0].startswith('\\'):
      self._take_mark(' '.join(fields))
    elif self._order:
      self._take_ngram(fields)
    else:
      self._take_count(fields)

  def _take_preamble(self, first: str) -> None:
    if first in _OTHER_FORMATS and self.number == 1:
      raise self._error(
        f'{first} is a format that only IRSTLM reads: convert the file to ARPA'
        ' with compile-lm --text=yes'
      )
    if first.lower() == '\\data\\':
      self._counts = {}

  def _take_count(self, fields: list[str]) -> None:
    count = _COUNT.fullmatch(''.join(fields[1:]))
    if fields[0].lower() != 'ngram' or not count or not int(count[1]):
      raise self._error(
        f'expected ngram ORDER=COUNT, got {" ".join(fields)[:40]!r}'
      )
    self._counts[int(count[1])] = int(count[2])

  def _take_mark(self, mark: str) -> None:
    self._close_section()
    mark = mark.lower()
    order = _MARK.fullmatch(mark)
    if mark == '\\end\\':
      self._is_ended = True
    elif not order:
      raise self._error(f'unknown section {mark[:40]!r}')
    elif int(order[1]) not in self._counts:
      raise self._error(f'the counts after \\data\\ have no order {order[1]}')
    elif int(order[1]) in self._found:
      raise self._error(f'a second section {mark}')
    else:
      self._order = int(order[1])
      self._found[self._order] = 0

  def _close_section(self) -> None:
    if not self._order:
      return
    found, declared = self._found[self._order], self._counts[self._order]
    if found != declared:
      raise self._error(
        f'the section of order {self._order} has {found} n-grams, but the'
        f' counts after \\data\\ declare {declared}'
      )

  def _take_ngram(self, fields: list[str]) -> None:
    order = self._order
    if not order + 1 <= len(fields) <= order + 2:
      raise self._error(
        f'expected a log10 probability, {order} words and at most a back-off'
        f' weight, not {len(fields)} fields'
      )
    log_prob = self._number(fields[0], 'log10 probability')
    if log_prob > _ROUNDING:
      raise self._error(f'the log10 probability {fields[0]} is positive')
    self._found[order] += 1
    ngram = tuple([self._word(word) for word in fields[1 : order + 1]])
    log_prob = min(0.0, max(log_prob, _LOG_ZERO)) * _NATS
    if log_prob < self._log_probs.get(ngram, -math.inf):
      return
    self._log_probs[ngram] = log_prob
    if len(fields) == order + 2:
      back_off = self._number(fields[-1], 'log10 back-off weight')
      self._back_offs[ngram] = max(back_off, _LOG_ZERO) * _NATS

  def _number(self, field: str, kind: str) -> float:
    try:
      value = float(field)
    except ValueError:
      value = math.nan
    if math.isnan(value) or value == math.inf:
      raise self._error(f'{field[:40]!r} is not a {kind}')
    return value

  def _word(self, written: str) -> str:
    word = self._words.get(written)
    if word is None:
      word = self._words[written] = self._cleaned(written)
    return word

  def _cleaned(self, word: str) -> str:
    if word.lower() in _SIGNS:
      return word.lower()
    lower = self._letters.lower(word)
    plain = lower.replace(self._letters.apostrophe, '')
    if plain and self._letters.characters.issuperset(plain):
      self._writable += 1
      return lower
    if word[0] in '<[(':  # A sign for noise.
      return word
    cleaned = normalisation.clean(word, self._alphabet)
    is_word = cleaned and set(cleaned) <= set(self._alphabet) - {' '}
    self._writable += is_word
    return cleaned if is_word else word

  def model(self) -> LanguageModel:
    """Returns the language model.

    Raises:
      UserError: If a part of the file is missing, or if the alphabet can write
        only few of its words.
    """
    if self._counts is None:
      raise self._error('there is no line \\data\\: give an ARPA file')
    if not self._is_ended:
      raise self._error('the file ends before \\end\\: the file is cut off')
    for order, count in self._counts.items():
      if count and order not in self._found:
        raise self._error(f'there is no section \\{order}-grams:')
    words = sum(word.lower() not in _SIGNS for word in self._words)
    if self._writable <= _LEAST_SHARE * words:
      raise errors.UserError(
        f'{self._path}: of its {words} words the letters of the acoustic model'
        f' can write only {self._writable}. Give a word model of the same'
        ' language.'
      )
    return LanguageModel(self._log_probs, self._back_offs)

  def _error(self, problem: str) -> errors.UserError:
    return errors.UserError(f'{self._path}, line {self.number}: {problem}.')
