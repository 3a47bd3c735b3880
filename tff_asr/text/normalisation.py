"""Cleaning of transcripts.

The rules are those of Pelikan et al. (2025, arXiv 2310.00098) for Common Voice.
A clean text has letters of the alphabet, apostrophes, hyphens and single
spaces. What has no place in it is taken out where nothing is lost of what was
said (punctuation), and stays where something would be (digits, signs such as
`&`), so that a vocabulary refuses the text.
"""

import re
import string
import unicodedata

import anyascii

ENGLISH = " '" + string.ascii_lowercase + '-'
FRENCH = ENGLISH + 'àâæçèéêëîïôœùûüÿ'
GERMAN = ENGLISH + 'äöüß'

_RIGHT_QUOTE = '\N{RIGHT SINGLE QUOTATION MARK}'
# Characters that are typed for a hyphen, an apostrophe, or nothing.
_SAME = str.maketrans(
  {
    '\N{HYPHEN}': '-',
    '\N{NON-BREAKING HYPHEN}': '-',
    '\N{MODIFIER LETTER APOSTROPHE}': "'",
    '\N{ACUTE ACCENT}': _RIGHT_QUOTE,
    '\N{GRAVE ACCENT}': _RIGHT_QUOTE,
    '\N{SOFT HYPHEN}': None,
    '\N{ZERO WIDTH SPACE}': None,
    '\N{ZERO WIDTH NO-BREAK SPACE}': None,
  }
)

_PARTS_WORDS = set('/\\_\N{HORIZONTAL ELLIPSIS}')
_SPOKEN = set('%&@#§\N{PER MILLE SIGN}')


def clean(text: str, alphabet: str = ENGLISH) -> str:
  """Returns a transcript in the form that models learn.

  * Lower case; letters of the alphabet stay, whatever their Unicode form.
  * Other letters become ASCII where that gives letters from a to z (`é` in
    English, `ł`), else they stay and are outside the alphabet.
  * A right single quotation mark is an apostrophe, unless it stands next to
    punctuation: then it closes a quotation.
  * Dashes and slashes are spaces, and so is a hyphen that touches a space;
    other punctuation is dropped.
  * White space becomes single spaces, none at the ends.

  Args:
    text: As it was written.
    alphabet: The characters that are kept as they are.
  """
  text = unicodedata.normalize('NFC', text).translate(_SAME).lower()
  letters = set(alphabet)
  kept = []
  for before, character, after in zip(
    ' ' + text, text, text[1:] + ' ', strict=False
  ):
    kind = unicodedata.category(character)
    if character == _RIGHT_QUOTE:
      if not (_is_punctuation(before) or _is_punctuation(after)):
        kept.append("'")
    elif character in letters:
      kept.append(character)
    elif character.isspace() or kind == 'Pd' or character in _PARTS_WORDS:
      kept.append(' ')
    elif character in _SPOKEN or not (kind.startswith('P') or kind == 'Mn'):
      kept.append(_ascii_letters(character))
  words = re.sub(r'(?<=\s)-+|-+(?=\s)', ' ', f' {"".join(kept)} ').split()
  return ' '.join(words)


def _is_punctuation(character: str) -> bool:
  return unicodedata.category(character).startswith('P')


def _ascii_letters(character: str) -> str:
  """The letters from a to z that stand for a letter, or the letter itself."""
  equal = anyascii.anyascii(character)
  if equal and set(equal) <= set(string.ascii_lowercase):
    return equal
  return character
