import sys
import unicodedata

import anyascii
from hypothesis import given, settings
from hypothesis import strategies as st
import pytest

from tff_asr.text import normalisation
from tff_asr.text.normalisation import ENGLISH, FRENCH, GERMAN

TURKISH = ENGLISH + 'çğıöşü'


@pytest.mark.parametrize(
  ('text', 'expected'),
  [
    ('Hello, World!', 'hello world'),
    ('  GO\tHOME \n', 'go home'),
    # Right single quotation marks: apostrophes, unless next to punctuation.
    ('It’s “fine”.’', "it's fine"),
    ('’tis the dogs’ house', "'tis the dogs' house"),
    ('he said “no’”', 'he said no'),
    ('don´t', "don't"),
    # Whatever is typed for an apostrophe between letters is one.
    ('it‘s it‛s it`s it′s itʼs itʻs it＇s', ' '.join(["it's"] * 7)),
    ('rock‘n’roll', "rock'n'roll"),
    ('`tis ‘so’', 'tis so'),
    # Punctuation between letters parts words.
    ('well...maybe yes--no said,yes', 'well maybe yes no said yes'),
    ('the end.Then “l’été”(s)', "the end then l'ete s"),
    ('9 a.m.', '9 am'),
    ('a.m. U.S.A. U.S.’s J.-C. co-op', "am usa us's j c co-op"),
    ("I don't.I won't, he's.A man", "i don't i won't he's a man"),
    ('at a.m.I got. Vitamin C.I', 'at am i got vitamin c i'),
    ('(U.S.A.) “e.g.”', 'usa eg'),
    ('A.B.C p.m O.K i.e U.S.A a.m.-p.m.', 'abc pm ok ie usa am-pm'),
    ('D.C.I So did I.A man', 'dc i so did i a man'),
    ('it’s ‘fine’ ok, the ‘dogs’', "it's fine ok the dogs"),
    ("don''t o’’o", "don't o'o"),
    ('((xx)) (?) (laughs)', '[xx[ [ laughs'),
    ('l’«été» l’“été”', "l'ete l'ete"),
    # Hyphens stay inside words only.
    ('semi-detached', 'semi-detached'),
    ('well - known- or -not --- x-', 'well known or not x'),
    ('-', ''),
    ('a–b — c and/or d…e', 'a b c and or d e'),
    # Letters outside the alphabet that have an equal in ASCII.
    ('Łódź naïve Straße œuvre ﬁne', 'lodz naive strasse oeuvre fine'),
    ('ＡＢＣ，ｄ', 'abc d'),
    # One letter in several Unicode forms.
    ('caf\u00e9 cafe\u0301', 'cafe cafe'),
    ('soft\u00adhyphen zero\u200bwidth', 'softhyphen zerowidth'),
    # What was said and cannot be written stays, for a vocabulary to refuse.
    ('7 up & 北京', '7 up & 北京'),
    ('a few ° more', 'a few ° more'),
    ('Nº ª µ ² ™ € % ％', 'nº ª µ ² ™ € % %'),
    ('Привет नमस्ते', 'привет नमस्ते'),
    ('[noise] f*ck ♪ 6′ 2″', '[noise] f*ck ♪ 6′ 2″'),
    ('a\x00b\ufffd', 'a\x00b\ufffd'),
    ('3.5 1,000 12:30 a5.b', '3.5 1,000 12:30 a5.b'),
    ('\\N don\\\'t \\"so\\"', "\\n don't so"),
    # Marks of other scripts are not accents.
    ('teacherों okื', 'teacherों okื'),
    ('...?!', ''),
  ],
)
def test_english(text, expected):
  assert normalisation.clean(text) == expected


@pytest.mark.parametrize(
  ('text', 'expected'),
  [
    ('« Où ça ? »', 'où ça'),
    ('L’ÉTÉ, ÇA Y EST\u00a0!', "l'été ça y est"),
    ('l\u2019e\u0301te\u0301', "l'été"),
    ('Œuvre du cœur', 'œuvre du cœur'),
    ('dit-il - enfin', 'dit-il enfin'),
    ('Straße', 'strasse'),
  ],
)
def test_french(text, expected):
  assert normalisation.clean(text, FRENCH) == expected


@pytest.mark.parametrize(
  ('text', 'expected'),
  [
    ('„Größe“, Äpfel?', 'größe äpfel'),
    ('STRASSE und Straße', 'strasse und straße'),
    ('u\u0308ber den Café', 'über den cafe'),
    ('Ein- und Ausgang', 'ein und ausgang'),
  ],
)
def test_german(text, expected):
  assert normalisation.clean(text, GERMAN) == expected


@pytest.mark.parametrize(
  ('text', 'expected'),
  [
    ('Iğdır ILIK İŞ', 'ığdır ılık iş'),
    ('I\u0307yi', 'iyi'),
    ('kâr', 'kâr'),  # The circumflex makes another word of `kar`.
    ('São Łódź', 'são łódź'),
  ],
)
def test_an_alphabet_with_a_dotless_i_is_turkish(text, expected):
  assert normalisation.clean(text, TURKISH) == expected


def test_a_letter_is_written_as_the_alphabet_writes_it():
  for text in 'น้ำ', 'น้\u0e4d\u0e32':
    assert normalisation.clean(text, 'น้\u0e4d\u0e32') == 'น้\u0e4d\u0e32'
    assert normalisation.clean(text, 'น้ำ') in ('น้ำ', 'น้\u0e4d\u0e32')
  for text in 'café', 'cafe\u0301':
    assert normalisation.clean(text, 'acfe\u0301') == 'cafe\u0301'
    assert normalisation.clean(text, FRENCH) == 'café'
  for quote in "'‘’′ʼ":
    assert normalisation.clean(f'п{quote}я', 'пяʼ') == 'пʼя'


@pytest.mark.parametrize(
  ('text', 'alphabet', 'expected'),
  [
    ('3.5-4 page 5. -5', ENGLISH + '0123456789', '3.5-4 page 5 -5'),
    ('3.5 (5)', ENGLISH + '0123456789.', '3.5 5'),
    # Punctuation goes, also where a vocabulary could write it.
    ('Hello?Yes, (so)', ENGLISH + '?,()', 'hello yes so'),
    ('5 %', ENGLISH + '5%', '5 %'),
    ('ΤΕΛΟΣ.ΑΡΧΗ Σ', ' τελοςσαρχη', 'τελος αρχη σ'),
    # Consonants that look like quotes.
    ('‘okina ʻokina O‘ahu', ENGLISH + 'ʻ', 'ʻokina ʻokina oʻahu'),
    ("O'zbek Oʻzbek", ' abekozʻ', 'oʻzbek oʻzbek'),
    ('ma’no maʼno', ' amnoʼ', 'maʼno maʼno'),
    # One foreign word makes no Turkish.
    ('I think Kadıköy', ENGLISH + 'ıö', 'i think kadıköy'),
    ('\u0e14\u200b\u0e14', ' \u0e14', '\u0e14 \u0e14'),
    ('Ի՞նչ', ' ինչ', 'ինչ'),
    ('l·l', ENGLISH + '·', 'l·l'),
  ],
)
def test_other_alphabets(text, alphabet, expected):
  assert normalisation.clean(text, alphabet) == expected


def test_marks_that_the_alphabet_lacks_are_not_dropped():
  assert set(normalisation.clean('ปีนี้', 'ปีน')) - set('ปีน')
  assert set(normalisation.clean('va\u0323', 'ăav')) - set('ăav')


ALPHABETS = st.sampled_from([ENGLISH, FRENCH, GERMAN, TURKISH, 'ดมาก ีปน'])
# Characters at which rules begin, and any others.
TEXTS = st.text(
  st.one_of(
    st.sampled_from("abcIİıéßœ 'ʼ‘’′´`-‐.…,«»/°%*7ªнमดี\u0301\u0e49\u200b"),
    st.sampled_from(ENGLISH + FRENCH + GERMAN + TURKISH),
    st.characters(),
  ),
  max_size=12,
)


@given(TEXTS, ALPHABETS)
def test_a_clean_text_stays_as_it_is(text, alphabet):
  clean = normalisation.clean(text, alphabet)
  assert normalisation.clean(clean, alphabet) == clean
  assert clean == ' '.join(clean.split())


def ascii_letters(text):
  """The letters from a to z that stand for the letters of a text, in order."""
  is_letter = unicodedata.category
  found = ''.join(c for c in text if is_letter(c)[0] == 'L')
  return ''.join(filter(str.isalpha, anyascii.anyascii(found).lower()))


@settings(max_examples=1_000)
@given(TEXTS, ALPHABETS)
def test_letters_of_a_kept_text_are_those_of_the_source_in_order(
  text, alphabet
):
  clean = normalisation.clean(text, alphabet)
  if not set(clean) <= set(alphabet):
    return  # It is left out.
  text = unicodedata.normalize('NFC', text)
  assert ascii_letters(clean) == ascii_letters(text)
  for character in text:
    kind = unicodedata.category(character)[0]
    assert (
      kind not in 'NSC'
      or character in '´`\t\n\r\x0b\x0c'
      or (character.isspace() or unicodedata.category(character) == 'Cf')
    )


PUNCTUATION = [
  c
  for c in map(chr, range(sys.maxunicode + 1))
  if unicodedata.category(c)[0] == 'P'
]
# In place of an apostrophe or a hyphen.
SINGLE = "'‘’‚‛′‵＇՚׳-‐‑－﹣"


@given(st.text(st.sampled_from(PUNCTUATION), min_size=1, max_size=4))
def test_punctuation_between_letters_parts_words_or_leaves_the_text_out(marks):
  clean = normalisation.clean(f'well{marks}maybe')
  if set(clean) <= set(ENGLISH):
    whole = ["well'maybe", 'well-maybe']
    assert clean == 'well maybe' or (clean in whole and marks in SINGLE)


@given(st.text(ENGLISH + FRENCH + GERMAN))
def test_european_letters_always_find_a_place(text):
  for alphabet in ENGLISH, FRENCH, GERMAN:
    assert set(normalisation.clean(text, alphabet)) <= set(alphabet)
