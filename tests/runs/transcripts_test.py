"""Transcripts are kept as they are, and examples are from good to bad."""

import pytest

from tff_asr import checksums, errors
from tff_asr.learning import evaluation
from tff_asr.runs import transcripts

REFERENCE = 'one two three four'
FOUND = [
  evaluation.Transcript(
    'bob', f'bob-{i}', REFERENCE, ' '.join(REFERENCE.split()[:i]), loss=i / 3
  )
  for i in range(5)
]


def test_what_was_written_is_read(tmp_path):
  odd = evaluation.Transcript('a\tb', '"id"', "l'été\ttab", '', 0.0)
  transcripts.write(tmp_path / 'file', [odd, *FOUND])
  assert transcripts.read(tmp_path / 'file') == [odd, *FOUND]


@pytest.mark.parametrize(
  'damage', ['', 'a\tb', '{head}\n1\t2', '{head}\n{first}x']
)
def test_a_damaged_file_is_named(tmp_path, damage):
  """Also one whose loss is no number, or that ends within a line."""
  path = tmp_path / 'file'
  transcripts.write(path, FOUND)
  head, first, *_ = path.read_text().splitlines()
  checksums.write(path, damage.format(head=head, first=first))
  with pytest.raises(errors.UserError, match=f'{path} is damaged'):
    transcripts.read(path)


def test_examples_are_the_same_each_time_and_from_all_error_rates():
  many = [
    evaluation.Transcript(
      'bob', f'{t.utterance_id}-{i}', REFERENCE, t.hypothesis
    )
    for t in FOUND
    for i in range(4)
  ]
  chosen = transcripts.typical(many, 5)
  assert [t.wer for t in chosen] == [0.0, 0.25, 0.5, 0.75, 1.0]
  assert transcripts.typical(many, 5) == chosen
  assert len(transcripts.typical(FOUND[:2], 5)) == 2
  assert [t.wer for t in transcripts.worst(FOUND, 2)] == [1.0, 0.75]


@pytest.mark.parametrize(
  ('reference', 'hypothesis', 'wrong_reference', 'wrong_hypothesis'),
  [
    ('play some jazz now', 'play jazz no', ['some', 'now'], ['no']),
    ('stop', 'stop it', [], ['it']),
    ('stop', '', ['stop'], []),
  ],
)
def test_words_that_differ_are_marked_on_both_sides(
  reference, hypothesis, wrong_reference, wrong_hypothesis
):
  found = evaluation.Transcript('bob', '1', reference, hypothesis)
  for marked, text, expected in zip(
    transcripts.marked(found),
    (reference, hypothesis),
    (wrong_reference, wrong_hypothesis),
    strict=True,
  ):
    assert [word for word, _ in marked] == text.split()
    assert [word for word, wrong in marked if wrong] == expected
