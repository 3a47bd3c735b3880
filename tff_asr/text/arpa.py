r"""Word n-gram language models with back-off, from files in the ARPA format.

The format is what SRILM, KenLM and IRSTLM write: counts after `\data\`, a
section for each order, lines of a log10 probability, the words and, where the
n-gram is a context, a log10 back-off weight.  The probability of a word is that
of the longest n-gram that is listed, times the back-off weights of the longer
contexts (Katz, 1987).
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
_SIGNS = {START, END, UNKNOWN}  # In capitals too.
# What an unknown word costs beside the probability of `<unk>`, in nats: log10
# -10, the default `unk_score_offset` of pyctcdecode.  `<unk>` stands for all
# unknown words together, so its probability is too much for any one of them;
# KenLM's -100 for a file without `<unk>` would forbid new words altogether.
UNKNOWN_PENALTY = -10.0 * math.log(10.0)

State = tuple[str, ...]

_NGram = tuple[str, ...]
_NATS = math.log(10.0)
_LOG_ZERO = -99.0  # As SRILM writes that a word never comes, as `<s>`.
_ROUNDING = 1e-2  # IRSTLM writes probabilities that are as much above 1.
_LEAST_SHARE = 0.1  # Of the words that the letters of a model can write.
_MARK = re.compile(r'\\(\d+)-grams:')
_COUNT = re.compile(r'(\d+)=(\d+)')
_OTHER_FORMATS = ('iARPA', 'qARPA', 'blmt', 'Qblmt')


class LanguageModel:
  """Probability of a word after others.

  Attributes:
    order: Number of words of the longest n-grams.
    start: State at the beginning of a sentence.
  """

  def __init__(
    self, log_probs: Mapping[_NGram, float], back_offs: Mapping[_NGram, float]
  ):
    """Builds a model.

    Args:
      log_probs: Log-probability in nats of the last word of an n-gram after
        the others.
      back_offs: Log back-off weight in nats of contexts; 0 of those that are
        left out.
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
    """Whether a word of the model begins with `letters`, or is that."""
    place = bisect.bisect_left(self._sorted, letters)
    return place < len(self._sorted) and self._sorted[place].startswith(letters)

  def score(self, state: State, word: str) -> tuple[float, State]:
    """Scores a word, known or not.

    Args:
      state: The words before, `order - 1` at most, from `start` on.
      word: In the form of the model's words.

    Returns:
      The log-probability in nats and the state after the word.  A word that is
      not in the model counts as `<unk>` and costs `UNKNOWN_PENALTY` more; in a
      model without `<unk>` the penalty is all.
    """
    if word in self:
      return self._log_prob(state, word), self._shortened((*state, word))
    after = self._shortened((*state, UNKNOWN))
    if not self._has_unknown:
      return UNKNOWN_PENALTY, after
    return UNKNOWN_PENALTY + self._log_prob(state, UNKNOWN), after

  def end(self, state: State) -> float:
    """Log-probability in nats that the sentence ends after `state`.

    It is 0 in a model that knows no ends of sentences.
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
  """Reads a file in the ARPA format.

  Words that `alphabet` cannot write are cleaned as transcripts are (capitals
  become small letters), so that they are found; where two words become one, the
  more probable n-gram counts.

  Args:
    path: The file; gzipped if its name ends in `.gz`.
    alphabet: The characters that a model writes.

  Raises:
    UserError: If the file cannot be read, is malformed, or has hardly a word
      that the alphabet can write.
  """
  if not path.is_file():
    raise errors.UserError(f'There is no file {path}.')
  reader = _Reader(path, alphabet)
  try:
    for line in _lines(path):
      reader.take(line)
  except UnicodeDecodeError as error:
    raise errors.UserError(
      f'{path}: after line {reader.number} it is not text in UTF-8: is it an'
      ' ARPA file, gzipped only if its name ends in .gz?'
    ) from error
  except (EOFError, gzip.BadGzipFile, zlib.error) as error:
    raise errors.UserError(
      f'{path}: after line {reader.number} it is not gzipped as its name says,'
      f' or is cut off: {error}.'
    ) from error
  except OSError as error:
    raise errors.UserError(f'{path}: {error.strerror}.') from error
  return reader.model()


def _lines(path: pathlib.Path) -> Iterator[str]:
  opener = gzip.open if path.suffix == '.gz' else open
  with opener(path, 'rt', encoding='utf-8-sig', newline='\n') as file:
    yield from file


class _Reader:
  """Takes the lines of a file in their order.

  Attributes:
    number: Of the line that was taken last, from 1.
  """

  def __init__(self, path: pathlib.Path, alphabet: str):
    self._path = path
    self._alphabet = alphabet
    self._letters = letters.of(alphabet)
    self.number = 0
    self._counts: dict[int, int] | None = None  # Declared, by order.
    self._order = 0  # Of the section.
    self._found: dict[int, int] = {}  # Lines of a section, by order.
    self._is_ended = False
    self._words: dict[str, str] = {}  # As written, to cleaned.
    self._writable = 0
    self._log_probs: dict[_NGram, float] = {}
    self._back_offs: dict[_NGram, float] = {}

  def take(self, line: str) -> None:
    """Takes the next line."""
    self.number += 1
    # Not `split()`: words may have other white space, a no-break space say.
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
        f'{first} is a format of IRSTLM alone: make ARPA of it by'
        ' compile-lm --text=yes'
      )
    if first.lower() == '\\data\\':
      self._counts = {}

  def _take_count(self, fields: list[str]) -> None:
    count = _COUNT.fullmatch(''.join(fields[1:]))
    if fields[0].lower() != 'ngram' or not count or not int(count[1]):
      raise self._error(
        f'ngram ORDER=COUNT must stand here, not {" ".join(fields)[:40]!r}'
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
        f'the section of order {self._order} has {found} n-grams, and'
        f' {declared} by the counts after \\data\\'
      )

  def _take_ngram(self, fields: list[str]) -> None:
    order = self._order
    if not order + 1 <= len(fields) <= order + 2:
      raise self._error(
        f'a log10 probability, {order} words and at most a back-off weight'
        f' must stand here, not {len(fields)} fields'
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

  def _number(self, field: str, what: str) -> float:
    try:
      value = float(field)
    except ValueError:
      value = math.nan
    if math.isnan(value) or value == math.inf:
      raise self._error(f'{field[:40]!r} is no {what}')
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
    if word[0] in '<[(':  # Signs of noise.
      return word
    cleaned = normalisation.clean(word, self._alphabet)
    is_word = cleaned and set(cleaned) <= set(self._alphabet) - {' '}
    self._writable += is_word
    return cleaned if is_word else word

  def model(self) -> LanguageModel:
    """Returns what was read.

    Raises:
      UserError: If something is missing.
    """
    if self._counts is None:
      raise self._error('there is no line \\data\\: is it an ARPA file?')
    if not self._is_ended:
      raise self._error('the file ends before \\end\\: it is cut off')
    for order, count in self._counts.items():
      if count and order not in self._found:
        raise self._error(f'there is no section \\{order}-grams:')
    words = sum(word.lower() not in _SIGNS for word in self._words)
    if self._writable <= _LEAST_SHARE * words:
      raise errors.UserError(
        f'{self._path}: of its {words} words the letters of the model can'
        f' write {self._writable}: is it a word model, and of the same'
        ' language?'
      )
    return LanguageModel(self._log_probs, self._back_offs)

  def _error(self, problem: str) -> errors.UserError:
    end = '' if problem.endswith('?') else '.'
    return errors.UserError(f'{self._path}, line {self.number}: {problem}{end}')
