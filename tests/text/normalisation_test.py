from hypothesis import given
from hypothesis import strategies as st
import pytest

from tff_asr.text import normalisation
from tff_asr.text.normalisation import ENGLISH, FRENCH, GERMAN


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
    # Hyphens stay inside words only.
    ('semi-detached', 'semi-detached'),
    ('well - known- or -not --- x-', 'well known or not x'),
    ('-', ''),
    ('a–b — c and/or d…e', 'a b c and or d e'),
    # Letters outside the alphabet that have an equal in ASCII.
    ('Łódź naïve Straße œuvre ﬁne', 'lodz naive strasse oeuvre fine'),
    ('Привет', 'privet'),
    # One letter in several Unicode forms.
    ('caf\u00e9 cafe\u0301', 'cafe cafe'),
    ('soft\u00adhyphen zero\u200bwidth', 'softhyphen zerowidth'),
    # What was said and cannot be written stays, for a vocabulary to refuse.
    ('7 up & 北京', '7 up & 北京'),
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


@given(st.text(), st.sampled_from([ENGLISH, FRENCH, GERMAN]))
def test_a_clean_text_stays_as_it_is(text, alphabet):
  clean = normalisation.clean(text, alphabet)
  assert normalisation.clean(clean, alphabet) == clean
  assert clean == ' '.join(clean.split())


@given(st.text(ENGLISH + FRENCH + GERMAN))
def test_european_letters_always_find_a_place(text):
  for alphabet in ENGLISH, FRENCH, GERMAN:
    assert set(normalisation.clean(text, alphabet)) <= set(alphabet)
