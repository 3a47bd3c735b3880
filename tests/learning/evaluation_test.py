import dataclasses

import pytest

from tests import stores
from tff_asr.learning import evaluation
from tff_asr.models import beam_search, presets
from tff_asr.text import arpa


def transcript(client, reference, hypothesis):
  return evaluation.Transcript(client, f'{client}-0', reference, hypothesis)


def test_rates_are_over_all_words_not_means_over_utterances():
  transcripts = [
    transcript('a', 'one two three four', 'one two three four'),
    transcript('b', 'five', 'six'),
  ]
  rates = evaluation.error_rates(transcripts)
  assert (rates.utterances, rates.words) == (2, 5)
  assert rates.wer == pytest.approx(1 / 5)
  # four characters of `five` against `six`: i stays.
  assert rates.cer == pytest.approx(3 / 22)


def test_substitutions_insertions_and_deletions_all_count():
  assert transcript('a', 'a b c', 'a x b').wer == pytest.approx(2 / 3)
  assert transcript('a', 'a', '').wer == 1.0
  assert transcript('a', 'a', 'a b c').wer == 2.0


def test_clients_come_worst_first():
  rates = evaluation.by_client(
    [
      transcript('good', 'a b', 'a b'),
      transcript('bad', 'a b', 'x y'),
      transcript('middle', 'a b', 'a y'),
    ]
  )
  assert list(rates) == ['bad', 'middle', 'good']
  assert [r.wer for r in rates.values()] == [1.0, 0.5, 0.0]


def test_every_utterance_is_transcribed_whatever_the_batches(
  speech, monkeypatch
):
  encoder = dataclasses.replace(presets.preset('tiny', 30), width=16).build()
  evaluator = evaluation.Evaluator(encoder, speech.vocabulary)
  expected = {
    name: text for c in 'abc' for name, text, _ in stores.records(speech, c)
  }
  whole = evaluator.transcribe(evaluation.batches(speech))
  assert {t.utterance_id: t.reference for t in whole} == expected
  monkeypatch.setattr(evaluation, 'BATCH_SECONDS', 0.5)
  again = evaluator.transcribe(evaluation.batches(speech))
  assert [t.hypothesis for t in again] == [t.hypothesis for t in whole]
  losses = [[t.loss for t in found] for found in (whole, again)]
  assert losses[0] == pytest.approx(losses[1], rel=1e-4)
  some = evaluator.transcribe(evaluation.batches(speech, ['b']))
  assert [t.utterance_id for t in some] == [
    t.utterance_id for t in whole if t.client_id == 'b'
  ]


def test_a_beam_search_decodes_with_its_language_model(speech):
  encoder = dataclasses.replace(presets.preset('tiny', 30), width=16).build()
  pieces = speech.vocabulary.pieces

  def decoded(config, lm=None):
    search = beam_search.BeamSearch(pieces, config, lm)
    evaluator = evaluation.Evaluator(encoder, speech.vocabulary, search)
    return evaluator.transcribe(evaluation.batches(speech))

  greedy = evaluation.Evaluator(encoder, speech.vocabulary).transcribe(
    evaluation.batches(speech)
  )
  # Bonuses greater than any score of an encoder without training.
  lm = arpa.LanguageModel({('x',): -9.0, ('</s>',): -9.0}, {})
  many, few = (
    decoded(beam_search.BeamConfig(8, 1.0, bonus), lm)
    for bonus in (50.0, -99.0)
  )
  for transcripts in many, few:
    assert [t.reference for t in transcripts] == [t.reference for t in greedy]
    losses = [t.loss for t in transcripts]
    assert losses == pytest.approx([t.loss for t in greedy], rel=1e-4)
  assert all(len(t.hypothesis.split()) > 1 for t in many)
  assert all(len(t.hypothesis.split()) <= 1 for t in few)
