r"""Cleaning of transcripts.

The rules follow Pelikan et al. (2025, arXiv 2310.00098), who give them for
Common Voice.  A clean text has letters of the alphabet, apostrophes, hyphens
and single spaces.  Every letter of a clean text comes from a letter of the
source, in order, and no letter of the source is lost.  Punctuation is removed.
Digits, signs that are spoken (`&`, `°`), and letters and marks that the
alphabet cannot write stay in the text, so that a vocabulary refuses the text.
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
# Punctuation inside words of Armenian and Hebrew.
_INSIDE_WORDS = set('\u055b\u055c\u055e\u05f4')
# Characters that people type for an apostrophe or a hyphen, and characters that
# stand for nothing.  Between letters all quotes are apostrophes.  Elsewhere
# left quotes open a quotation, and primes are feet or minutes.
_SAME = str.maketrans(
  {
    **dict.fromkeys(
      '\u02bb\u02bc\u02be\u02bf\ua78c\u055a\u05f3\u00b4', _RIGHT_QUOTE
    ),
    **dict.fromkeys('\u201a\u201b\u02bd\u02cb`', _LEFT_QUOTE),
    **dict.fromkeys('\u2035\u02b9\u02ca', _PRIME),
    **dict.fromkeys('\N{HYPHEN}\N{NON-BREAKING HYPHEN}', '-'),
    # Soft hyphen, zero width spaces and joiners, directions, variant selectors.
    **dict.fromkeys(
      '\u00ad\u200b\u200c\u200d\u200e\u200f\u061c\u2060\ufeff'
      '\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069'
      + ''.join(map(chr, range(0xFE00, 0xFE10))),
      None,
    ),
  }
)
# Characters with the Unicode class of punctuation that are spoken, or that are
# signs of transcribers or of programs.
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
# An abbreviation has a dot after each of its letters.  The dot after the last
# letter may be missing if this letter is not a word.
_LONE = rf'(?<![\w{_QUOTES}])'
_ABBREVIATION = re.compile(
  rf'{_LONE}(?:[^\W\d_]\.){{2,}}a(?![\w.])'
  rf'|{_LONE}(?:[^\W\d_]\.)+[b-hj-np-xz](?![\w.])'
  rf'|{_LONE}(?:[^\W\d_]\.){{2,}}'
)
# Double brackets and question marks in brackets mark words of which a
# transcriber was not sure.
_UNSURE = re.compile(r'\(\(|\)\)|\(\?+\)')
_QUOTATION = re.compile(
  rf'(?<!\w){_LEFT_QUOTE}(\w[^{_QUOTES[1:3]}]*?){_RIGHT_QUOTE}(?!\w)'
)
_FINAL_SIGMA = '\N{GREEK SMALL LETTER FINAL SIGMA}'
_LAST_SIGMA = re.compile(r'(?<=\w)\u03c3(?!\w)')


def clean(text: str, alphabet: str = ENGLISH) -> str:
  """Returns a transcript in the form that models learn.

  * Capitals become small letters.  With the alphabet of Turkish or a similar
    language, the small letter of `I` has no dot.
  * Letters of the alphabet stay, in any Unicode form.
  * Other Latin letters become ASCII if the alphabet is English, French or
    German, or a part of one of these (`é` in English, `ł`).  All other letters
    stay and are outside the alphabet.
  * Between letters, all characters that people type for an apostrophe become an
    apostrophe.  Elsewhere a right single quotation mark becomes an apostrophe,
    too, unless it is next to punctuation: there it closes a quotation.
  * Punctuation between letters becomes a space, except one apostrophe, one
    hyphen, and the dots of an abbreviation (`a.m.`).  Other punctuation is
    removed.
  * White space becomes single spaces, and is removed at both ends.

  Args:
    text: The original transcript.
    alphabet: Characters that stay unchanged.
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
  """Returns a character in the alphabet's form.

  A character without such a form is returned as plain punctuation or unchanged.
  """
  form = letters.form(character)
  if form is not None:
    return form
  if character in (_LEFT_QUOTE, '`') and _OKINA in letters.characters:
    return _OKINA  # People also type the okina as these characters.
  if not letters.is_romanised:
    if character in _INSIDE_WORDS:
      return ''
    if character == _ZERO_WIDTH_SPACE:  # It separates words in Thai and Khmer.
      return ' '
  character = character.translate(_SAME)
  return ' ' if character.isspace() else character


def _without_dots(abbreviation: re.Match[str]) -> str:
  after = abbreviation.string[abbreviation.end() :][:1]
  has_end = abbreviation[0].endswith('.') and after not in [*_QUOTES, '-']
  return abbreviation[0].replace('.', '') + '.' * has_end


def _in_place(run: re.Match[str], apostrophe: str, has_hyphen: bool) -> str:
  """Returns the replacement of a run of punctuation marks.

  Args:
    run: The marks, with the text around them.
    apostrophe: The alphabet's form of the apostrophe.
    has_hyphen: Whether the alphabet has a hyphen.
  """
  text, (start, end), marks = run.string, run.span(), run[0]
  before, after = text[:start][-1:].strip(), text[end:][:1].strip()
  if before and after:
    if marks[0] in _QUOTES and _OPENING.issuperset(marks[1:]):
      return apostrophe
    if len(marks) == 2 and set(marks) <= set(_QUOTES):  # A doubled apostrophe.
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
