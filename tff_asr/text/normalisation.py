r"""Cleaning of transcripts.

The rules are those of Pelikan et al. (2025, arXiv 2310.00098) for Common Voice.
A clean text has letters of the alphabet, apostrophes, hyphens and single
spaces.  Every letter of it comes from a letter of the source, in order, and
none is lost.  Punctuation goes.  Digits, signs that are spoken (`&`, `°`),
letters and marks that the alphabet cannot write stay, so that a vocabulary
refuses the text.
"""

import re
import sys
import unicodedata

from tff_asr.text import letters as letters_lib
from tff_asr.text.letters import ENGLISH, FRENCH, GERMAN

__all__ = ['ENGLISH', 'FRENCH', 'GERMAN', 'clean']

_LEFT_QUOTE = '\N{LEFT SINGLE QUOTATION MARK}'
_RIGHT_QUOTE = '\N{RIGHT SINGLE QUOTATION MARK}'
_PRIME = '\N{PRIME}'
_OKINA = '\N{MODIFIER LETTER TURNED COMMA}'
_ZERO_WIDTH_SPACE = '\N{ZERO WIDTH SPACE}'
_INSIDE_WORDS = set('\u055b\u055c\u055e\u05f4')  # Of Armenian and Hebrew.
# Characters that are typed for an apostrophe, a hyphen, or nothing.  Between
# letters all quotes are apostrophes; elsewhere left ones open a quotation, and
# primes are feet or minutes.
_SAME = str.maketrans(
  {
    **dict.fromkeys(
      '\u02bb\u02bc\u02be\u02bf\ua78c\u055a\u05f3\u00b4', _RIGHT_QUOTE
    ),
    **dict.fromkeys('\u201a\u201b\u02bd\u02cb`', _LEFT_QUOTE),
    **dict.fromkeys('\u2035\u02b9\u02ca', _PRIME),
    **dict.fromkeys('\N{HYPHEN}\N{NON-BREAKING HYPHEN}', '-'),
    # Soft hyphen, zero width spaces and joiners, directions, variants of form.
    **dict.fromkeys(
      '\u00ad\u200b\u200c\u200d\u200e\u200f\u061c\u2060\ufeff'
      '\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069'
      + ''.join(map(chr, range(0xFE00, 0xFE10))),
      None,
    ),
  }
)
# Punctuation by its Unicode class, but spoken, or a sign of transcribers or of
# programs.
_SPOKEN = set('%&@#§*†‡¶·‰‱※\u066a″‴[]{}\\')
_PUNCTUATION = [
  c
  for c in map(chr, range(sys.maxunicode + 1))
  if unicodedata.category(c)[0] == 'P' and c not in _SPOKEN
]
_RUN = re.compile(f'[{re.escape("".join(_PUNCTUATION))}]+')
_OPENING = set('«“"„\u2039(')
_ESCAPED_QUOTE = re.compile(r'\\(?=["\'])')
_QUOTES = "'" + _LEFT_QUOTE + _RIGHT_QUOTE + _PRIME
# An abbreviation has a dot behind each of its letters, the last one excepted
# where that is no word by itself.
_LONE = rf'(?<![\w{_QUOTES}])'
_ABBREVIATION = re.compile(
  rf'{_LONE}(?:[^\W\d_]\.){{2,}}a(?![\w.])'
  rf'|{_LONE}(?:[^\W\d_]\.)+[b-hj-np-xz](?![\w.])'
  rf'|{_LONE}(?:[^\W\d_]\.){{2,}}'
)
# Double brackets and queries stand for what a transcriber was not sure of.
_UNSURE = re.compile(r'\(\(|\)\)|\(\?+\)')
_QUOTATION = re.compile(
  rf'(?<!\w){_LEFT_QUOTE}(\w[^{_QUOTES[1:3]}]*?){_RIGHT_QUOTE}(?!\w)'
)
_FINAL_SIGMA = '\N{GREEK SMALL LETTER FINAL SIGMA}'
_LAST_SIGMA = re.compile(r'(?<=\w)\u03c3(?!\w)')


def clean(text: str, alphabet: str = ENGLISH) -> str:
  """Returns a transcript in the form that models learn.

  * Lower case, for an alphabet of Turkish and its like with a dotless i.
    Letters of the alphabet stay, whatever their Unicode form.
  * Other Latin letters become ASCII where the alphabet is that of English,
    French or German, or a part of it (`é` in English, `ł`). Other letters stay
    and are outside the alphabet.
  * Between letters all that is typed for an apostrophe is one. Elsewhere a
    right single quotation mark is one too, unless it stands next to
    punctuation: then it closes a quotation.
  * Punctuation between letters is a space, but for one apostrophe, one hyphen,
    and the dots of an abbreviation (`a.m.`). Other punctuation is dropped.
  * White space becomes single spaces, none at the ends.

  Args:
    text: As it was written.
    alphabet: The characters that are kept as they are.
  """
  letters = letters_lib.of(alphabet)
  text = _UNSURE.sub('[', _ESCAPED_QUOTE.sub('', text))
  text = letters.lower(text)
  text = ''.join(
    plain if (plain := letters.plain(c)) is not None else c for c in text
  )
  written, base = [], ''
  for character in text:
    if not letters.drops(character, base):
      written.append(_written(character, letters))
      base = character
  text = ' '.join(''.join(written).split())
  text = _QUOTATION.sub(r'"\1"', text)
  text = _ABBREVIATION.sub(_without_dots, text)
  has_hyphen = '-' in alphabet
  text = _RUN.sub(
    lambda run: _in_place(run, letters.apostrophe, has_hyphen), text
  )
  text = ' '.join(text.split())
  return (
    _LAST_SIGMA.sub(_FINAL_SIGMA, text) if _FINAL_SIGMA in alphabet else text
  )


def _written(character: str, letters: letters_lib.Letters) -> str:
  """Returns a letter in letters of the alphabet, or punctuation, or itself."""
  form = letters.form(character)
  if form is not None:
    return form
  if character in (_LEFT_QUOTE, '`') and _OKINA in letters.characters:
    return _OKINA  # As it is typed, too.
  if not letters.is_romanised:
    if character in _INSIDE_WORDS:
      return ''
    if character == _ZERO_WIDTH_SPACE:  # It parts words in Thai and Khmer.
      return ' '
  character = character.translate(_SAME)
  return ' ' if character.isspace() else character


def _without_dots(abbreviation: re.Match[str]) -> str:
  after = abbreviation.string[abbreviation.end() :][:1]
  has_end = abbreviation[0].endswith('.') and after not in [*_QUOTES, '-']
  return abbreviation[0].replace('.', '') + '.' * has_end


def _in_place(run: re.Match[str], apostrophe: str, has_hyphen: bool) -> str:
  """Returns what marks that follow each other become where they stand."""
  text, (start, end), marks = run.string, run.span(), run[0]
  before, after = text[:start][-1:].strip(), text[end:][:1].strip()
  if before and after:
    if marks[0] in _QUOTES and _OPENING.issuperset(marks[1:]):
      return apostrophe
    if len(marks) == 2 and set(marks) <= set(_QUOTES):  # Typed twice.
      return apostrophe
    if marks == '-' and has_hyphen:
      return '-'
    return marks if before.isnumeric() or after.isnumeric() else ' '
  if after.isnumeric() and marks.endswith('-'):
    return '-'
  if not (before or after):
    return ''
  if _PRIME in marks:
    return marks
  if marks == _RIGHT_QUOTE:
    return apostrophe
  return "'" if "'" in marks and apostrophe == "'" else ''
