"""Cleaning of transcripts.

The rules are those of Pelikan et al. (2025, arXiv 2310.00098) for Common Voice.
A clean text has letters of the alphabet, apostrophes, hyphens and single
spaces.  Every letter of it comes from a letter of the source, in order, and
none is lost.  Punctuation goes.  Digits, signs that are spoken (`&`, `°`),
letters and marks that the alphabet cannot write stay, so that a vocabulary
refuses the text.
"""

import re
import string
import unicodedata

import anyascii

ENGLISH = " '" + string.ascii_lowercase + '-'
FRENCH = ENGLISH + 'àâæçèéêëîïôœùûüÿ'
GERMAN = ENGLISH + 'äöüß'

_DOTLESS_I = '\N{LATIN SMALL LETTER DOTLESS I}'
_TURKISH_CAPITALS = str.maketrans(
  {'I': _DOTLESS_I, '\N{LATIN CAPITAL LETTER I WITH DOT ABOVE}': 'i'}
)
_LEFT_QUOTE = '\N{LEFT SINGLE QUOTATION MARK}'
_RIGHT_QUOTE = '\N{RIGHT SINGLE QUOTATION MARK}'
_PRIME = '\N{PRIME}'
_APOSTROPHES = "'" + _RIGHT_QUOTE + '\N{MODIFIER LETTER APOSTROPHE}'
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
_PARTS_WORDS = set('/\\_')
# Punctuation by its Unicode class, but spoken, or a sign of the transcriber.
_SPOKEN = set('%&@#§*†‡¶·‰‱※\u066a″‴[]{}')
# Forms that differ in looks alone, by the tag of their decomposition.
_LOOKS = {'<wide>', '<narrow>', '<small>'}
_LETTER_LOOKS = {
  *_LOOKS,
  '<compat>',
  '<initial>',
  '<medial>',
  '<final>',
  '<isolated>',
}
_OTHER_MARK = ','  # Stands for all punctuation that is not told apart.
_QUOTES = "'" + _LEFT_QUOTE + _RIGHT_QUOTE + _PRIME
_MARKS = _QUOTES + '-.' + _OTHER_MARK
_RUN = re.compile(f'[{re.escape(_MARKS)}]+')


def clean(text: str, alphabet: str = ENGLISH) -> str:
  """Returns a transcript in the form that models learn.

  * Lower case, for an alphabet with a dotless i as in Turkish. Letters of the
    alphabet stay, whatever their Unicode form.
  * Other Latin letters become ASCII where the alphabet is that of English,
    French or German, or a part of it (`é` in English, `ł`). Other letters stay
    and are outside the alphabet.
  * Between letters all that is typed for an apostrophe is one. Elsewhere a
    right single quotation mark is one too, unless it stands next to
    punctuation: then it closes a quotation.
  * Punctuation between letters is a space, but for one apostrophe, one hyphen,
    and the dots of an abbreviation (`a.m.`). Other punctuation is dropped.
  * Dashes and slashes are spaces. White space becomes single spaces, none at
    the ends.

  Args:
    text: As it was written.
    alphabet: The characters that are kept as they are.
  """
  apostrophe = next((c for c in _APOSTROPHES if c in alphabet), "'")
  letters = set(alphabet) - set(f" '-{apostrophe}")
  text = lower_case(text, alphabet)
  is_romanised = {c for c in letters if c.isalpha()} <= set(FRENCH + GERMAN)
  written = []
  follows_latin = False
  for character in text:
    is_mark = unicodedata.category(character).startswith('M')
    if not (is_mark and is_romanised and follows_latin):
      written.append(_written(character, letters, is_romanised))
      follows_latin = _is_latin(character)
  text = ' '.join(''.join(written).split())
  text = _RUN.sub(lambda run: _in_place(run, apostrophe, '-' in alphabet), text)
  return ' '.join(text.split())


def lower_case(text: str, alphabet: str) -> str:
  """Returns a text in lower case and Unicode's composed form (NFC).

  Args:
    text: As it was written.
    alphabet: One with a dotless i makes that of `I`, as in Turkish.
  """
  text = unicodedata.normalize('NFC', text)
  if _DOTLESS_I in alphabet:
    text = text.translate(_TURKISH_CAPITALS)
  return unicodedata.normalize('NFC', text.lower())


def _written(character: str, letters: set[str], is_romanised: bool) -> str:
  """A letter in letters of the alphabet, or a mark of `_MARKS`, or itself."""
  for form in (character, *_forms(character)):
    if letters.issuperset(form):
      return form
  tag = unicodedata.decomposition(character).split(' ')[0]
  if tag in _LOOKS:
    plain = unicodedata.normalize('NFKC', character)
    return ''.join(_written(c, letters, is_romanised) for c in plain)
  character = character.translate(_SAME)
  kind = unicodedata.category(character) if character else ''
  if not character or character in _MARKS.rstrip(_OTHER_MARK):
    return character
  if character.isspace() or kind == 'Pd' or character in _PARTS_WORDS:
    return ' '
  if kind.startswith('P') and character not in _SPOKEN:
    return _OTHER_MARK
  if is_romanised and kind == 'Ll' and _is_latin(character):
    ascii_form = anyascii.anyascii(character)
    if ascii_form and set(ascii_form) <= set(string.ascii_lowercase):
      return ascii_form
  return character


def _is_latin(character: str) -> bool:
  return unicodedata.name(character, '').startswith('LATIN ')


def _forms(character: str) -> list[str]:
  """Other Unicode forms of a letter or a mark."""
  if unicodedata.category(character)[0] not in 'LM':
    return []
  forms = [unicodedata.normalize('NFD', character)]
  if unicodedata.decomposition(character).split(' ')[0] in _LETTER_LOOKS:
    for form in 'NFKC', 'NFKD':
      forms.append(unicodedata.normalize(form, character))
  return forms


def _in_place(run: re.Match[str], apostrophe: str, has_hyphen: bool) -> str:
  """Returns what marks that follow each other become where they stand."""
  text, (start, end), marks = run.string, run.span(), run[0]
  before, after = text[:start][-1:].strip(), text[end:][:1].strip()
  if before and after:
    # The dot of an abbreviation stands behind a single letter.
    if marks[0] == '.' and not text[: start - 1][-1:].strip(_MARKS + ' '):
      marks = marks[1:]
      if not marks and not text[end + 1 :][:1].strip(_MARKS + ' '):
        return ''
    if marks == '-' and has_hyphen:
      return '-'
    return apostrophe if len(marks) == 1 and marks in _QUOTES else ' '
  if not (before or after):
    return ''
  if _PRIME in marks:
    return marks
  if marks == _RIGHT_QUOTE:
    return apostrophe
  return "'" if "'" in marks and apostrophe == "'" else ''
