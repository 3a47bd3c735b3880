"""Letters in the form of an alphabet, from any of their Unicode forms.

Unicode has several forms of the same letter, which sound alike: capitals and
small letters, composed and decomposed, wide and narrow forms, ligatures.
"""

import dataclasses
import functools
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
# Letters of the languages with a Latin alphabet that has a dotless i.
_TURKIC = set(string.ascii_lowercase + 'çğıöşüâîûəêñţäū')
_APOSTROPHES = "'\u2019\u02bc\u02bb"
# Marks over, under or through Latin letters; marks that are letters are left
# out.
_DIACRITICS = frozenset(map(chr, range(0x0300, 0x0363)))
# Forms that differ in appearance only, by the tag of their decomposition.
_LOOKS = {'<wide>', '<narrow>', '<small>'}
_LETTER_LOOKS = {
  *(_LOOKS | {'<compat>'}),
  *('<initial>', '<medial>', '<final>', '<isolated>'),
}


@dataclasses.dataclass(frozen=True)
class Letters:
  """The letters of an alphabet.

  Attributes:
    characters: All characters of the alphabet except the space, the hyphen, the
      apostrophe and the punctuation of Western languages.
    apostrophe: The alphabet's form of the apostrophe.
    is_romanised: Whether Latin letters outside the alphabet become ASCII.  This
      holds for English, French and German, as in Pelikan et al. (2025, arXiv
      2310.00098).  In other languages a letter without its mark may change the
      word.
    is_turkish: Whether the small letter of `I` has no dot.
  """

  characters: frozenset[str]
  apostrophe: str
  is_romanised: bool
  is_turkish: bool

  def lower(self, text: str) -> str:
    """Returns a text in lower case and Unicode's composed form (NFC)."""
    text = unicodedata.normalize('NFC', text)
    if self.is_turkish:
      text = text.translate(_TURKISH_CAPITALS)
    return unicodedata.normalize('NFC', text.lower())

  def plain(self, character: str) -> str | None:
    """Returns the usual form of a wide, narrow or small form, else `None`."""
    if _tag(character) in _LOOKS and character not in self.characters:
      return unicodedata.normalize('NFKC', character)
    return None

  def drops(self, mark: str, before: str) -> bool:
    """Returns whether a mark is dropped.

    Args:
      mark: A character, which may be a mark of Latin letters.
      before: The character before the mark.
    """
    return (
      self.is_romanised and mark in _DIACRITICS and _name(before) == 'LATIN'
    )

  def form(self, character: str) -> str | None:
    """Returns the alphabet's form of a letter or mark, or `None`."""
    if character in self.characters:
      return character
    kind = unicodedata.category(character)
    if kind[0] in 'LM':
      for form in _forms(character):
        if self.characters.issuperset(form):
          return form
    if self.is_romanised and kind == 'Ll' and _name(character) == 'LATIN':
      ascii_form = anyascii.anyascii(character)
      if ascii_form and set(ascii_form) <= set(string.ascii_lowercase):
        return ascii_form
    return None


@functools.lru_cache
def of(alphabet: str) -> Letters:
  """Returns the letters of an alphabet."""
  apostrophe = next((c for c in _APOSTROPHES if c in alphabet), "'")
  characters = {c for c in alphabet if not _is_western_punctuation(c)}
  characters -= {apostrophe, ' '}
  letters = {c for c in characters if c.isalpha()}
  return Letters(
    frozenset(characters),
    apostrophe,
    letters <= set(FRENCH + GERMAN),
    {_DOTLESS_I, 'ş'} <= letters <= _TURKIC,
  )


def _is_western_punctuation(character: str) -> bool:
  """Returns whether a character is punctuation of Western languages.

  Punctuation of other scripts may be part of a word.
  """
  number = ord(character)
  return unicodedata.category(character)[0] == 'P' and (
    number < 0x0100 or 0x2000 <= number < 0x2070 or number >= 0x3000
  )


def _forms(character: str) -> list[str]:
  forms = ['NFD']
  if _tag(character) in _LETTER_LOOKS:
    forms += ['NFKC', 'NFKD']
  return [unicodedata.normalize(form, character) for form in forms]


def _tag(character: str) -> str:
  return unicodedata.decomposition(character).partition(' ')[0]


def _name(character: str) -> str:
  return unicodedata.name(character, '').partition(' ')[0]
