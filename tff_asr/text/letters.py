"""Letters as an alphabet writes them, whatever their Unicode form.

A letter has several forms that differ in nothing that is heard: capitals,
composed and decomposed ones, wide and narrow ones, those of ligatures.
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
# Letters of the languages that write Latin with a dotless i.
_TURKIC = set(string.ascii_lowercase + 'çğıöşüâîûəêñţäū')
_APOSTROPHES = "'\u2019\u02bc\u02bb"
# Marks that stand over, under or through Latin letters, not other letters.
_DIACRITICS = frozenset(map(chr, range(0x0300, 0x0363)))
# Forms that differ in looks alone, by the tag of their decomposition.
_LOOKS = {'<wide>', '<narrow>', '<small>'}
_LETTER_LOOKS = {
  *(_LOOKS | {'<compat>'}),
  *('<initial>', '<medial>', '<final>', '<isolated>'),
}


@dataclasses.dataclass(frozen=True)
class Letters:
  """The letters of an alphabet.

  Attributes:
    characters: All but the space, the hyphen, the apostrophe and the
      punctuation of Western languages.
    apostrophe: As the alphabet writes it.
    is_romanised: Whether other Latin letters become ASCII. They do for English,
      French and German, as in the paper; elsewhere a letter without its mark
      may make another word.
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
    """Returns wide, narrow and small forms as usual ones, `None` for others."""
    if _tag(character) in _LOOKS and character not in self.characters:
      return unicodedata.normalize('NFKC', character)
    return None

  def drops(self, mark: str, before: str) -> bool:
    """Whether a mark of Latin letters goes, behind the character before it."""
    return (
      self.is_romanised and mark in _DIACRITICS and _name(before) == 'LATIN'
    )

  def form(self, character: str) -> str | None:
    """Returns how the alphabet writes a letter or a mark; `None` if not."""
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
  """Other scripts have some that belong to a word."""
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
