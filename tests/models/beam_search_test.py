import itertools
import math

from hypothesis import given, settings
from hypothesis import strategies as st
import numpy as np
import pytest

from tff_asr.models import beam_search, ctc
from tff_asr.text import arpa, vocabularies

WIDE = 10_000
ALL = -math.inf
# Characters with a space; word pieces; a piece of two words and one without
# text.
PIECES = [('', ' ', 'a', 'b'), ('', ' a', 'b', ' b'), ('', ' a b', 'a ', '')]
LM = arpa.LanguageModel(
  {
    ('</s>',): -1.0,
    ('a',): -0.7,
    ('b',): -1.6,
    ('<unk>',): -2.0,
    ('<s>', 'a'): -1.2,
    ('a', 'b'): -0.1,
    ('b', '</s>'): -0.3,
  },
  {('<s>',): -0.4, ('a',): -0.9, ('b',): -0.2},
)


def normalised(logits):
  return logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))


@st.composite
def utterances(draw, max_frames=4, size=4):
  frames = draw(st.integers(0, max_frames))
  seed = draw(st.integers(0, 2**32 - 1))
  scale = draw(st.sampled_from([0.1, 1.0, 5.0]))
  rng = np.random.default_rng(seed)
  return normalised(rng.normal(scale=scale, size=[frames, size]))


def by_brute_force(log_probs, pieces, lm=None, lm_weight=0.0, word_bonus=0.0):
  """The score of every sequence of tokens, from all alignments."""
  frames, size = log_probs.shape
  found = {}
  for path in itertools.product(range(size), repeat=frames):
    tokens = tuple(t for t, _ in itertools.groupby(path) if t)
    score = sum(log_probs[t, c] for t, c in enumerate(path))
    found[tokens] = np.logaddexp(found.get(tokens, -np.inf), score)
  for tokens in found:
    words = ''.join(pieces[t] for t in tokens).split(' ')
    words = [word for word in words if word]
    found[tokens] += word_bonus * len(words)
    if lm:
      state = lm.start
      for word in words:
        score, state = lm.score(state, word)
        found[tokens] += lm_weight * score
      found[tokens] += lm_weight * lm.end(state)
  return {tokens: score for tokens, score in found.items() if score > -np.inf}


def search(log_probs, pieces, lm=None, **config):
  config = beam_search.BeamConfig(**config)
  return beam_search.BeamSearch(pieces, config, lm).hypotheses(log_probs)


@settings(deadline=None)
@given(
  utterances(),
  st.sampled_from(PIECES),
  st.booleans(),
  st.sampled_from([0.0, 0.5, 2.0]),
  st.sampled_from([0.0, 1.5, -1.0]),
)
def test_a_wide_beam_sums_over_all_alignments(
  log_probs, pieces, has_lm, lm_weight, word_bonus
):
  weights = dict(lm_weight=lm_weight, word_bonus=word_bonus)
  lm = LM if has_lm else None
  found = search(log_probs, pieces, lm, width=WIDE, min_log_prob=ALL, **weights)
  expected = by_brute_force(log_probs, pieces, lm, **weights)
  assert {h.tokens: h.score for h in found} == pytest.approx(expected)
  assert len(found) == len(expected)
  scores = [h.score for h in found]
  assert scores == sorted(scores, reverse=True)


@settings(deadline=None)
@given(utterances(), st.floats(-4, 0), st.integers(1, 4))
def test_improbable_tokens_count_as_impossible(log_probs, least, most):
  rank = np.argsort(np.argsort(-log_probs, axis=1), axis=1)
  possible = ((log_probs >= least) | (rank == 0)) & (rank < most)
  expected = by_brute_force(
    np.where(possible, log_probs, -np.inf), PIECES[0], LM, 0.5, 1.5
  )
  found = search(
    *(log_probs, PIECES[0], LM),
    **dict(width=WIDE, word_bonus=1.5, min_log_prob=least, max_tokens=most),
  )
  assert {h.tokens: h.score for h in found} == pytest.approx(expected)


@settings(deadline=None)
@given(utterances(max_frames=12, size=5), st.integers(1, 20))
def test_a_narrow_beam_never_has_more_than_the_probability(log_probs, width):
  pieces = ('', ' ', 'a', 'b', 'c')
  found = search(log_probs, pieces, width=width, min_log_prob=ALL)
  assert 1 <= len(found) <= width
  assert len({h.tokens for h in found}) == len(found)
  tokens = [h.tokens for h in found if h.tokens]
  padded = np.zeros([len(tokens), 12], np.int32)
  for row, sequence in zip(padded, tokens, strict=True):
    row[: len(sequence)] = sequence
  if tokens:
    losses = ctc.loss(
      np.repeat(log_probs[None].astype(np.float32), len(tokens), axis=0),
      np.full([len(tokens)], len(log_probs), np.int32),
      padded,
      np.array([len(sequence) for sequence in tokens], np.int32),
    )
    scores = [h.score for h in found if h.tokens]
    assert np.all(scores <= -losses.numpy() + 1e-3)


def test_a_prefix_that_comes_back_is_the_same():
  """After frame 2 the beam has lost `a`, but not `a b`; frame 3 has it again.

  The language model holds `a b` in the beam, and others off it.
  """
  pieces = ('', ' a', ' b')
  lm = arpa.LanguageModel({('a',): 0.0, ('b',): -20.0}, {})
  probabilities = [[8, 2, 0], [4, 0, 6], [2, 8, 0], [4, 0, 6]]
  with np.errstate(divide='ignore'):
    log_probs = np.log(np.array(probabilities) / 10)

  def tokens(frames):
    found = search(
      *(log_probs[:frames], pieces, lm),
      **dict(width=3, lm_weight=1.0, word_bonus=5.0, min_log_prob=ALL),
    )
    return sorted(h.tokens for h in found)

  assert tokens(2) == [(), (1, 2), (2,)]
  assert tokens(3) == [(1,), (1, 2), (2,)]
  assert len(tokens(4)) == len(set(tokens(4)))


def test_a_sure_model_is_decoded_as_by_greedy_decoding():
  rng = np.random.default_rng(0)
  logits = rng.integers(0, 30, [3, 40])
  logits = 30.0 * np.eye(30, dtype=np.float32)[logits]
  greedy = ctc.greedy_tokens(logits, np.array([40, 40, 40])).to_list()
  pieces = vocabularies.CharacterVocabulary().pieces
  for width in 1, 8:
    searcher = beam_search.BeamSearch(pieces, beam_search.BeamConfig(width))
    found = [list(searcher.best(normalised(rows))) for rows in logits]
    assert found == greedy


def ambiguous(texts):
  """Log-probabilities of one character a frame, those of `texts` alike."""
  english = vocabularies.CharacterVocabulary()
  tokens = [english.encode(text) for text in texts]
  logits = np.zeros([len(tokens[0]), english.size])
  for sequence in tokens:
    logits[np.arange(len(sequence)), sequence] = 12.0
  return normalised(logits), english


def decoded(texts, lm, **config):
  log_probs, english = ambiguous(texts)
  config = beam_search.BeamConfig(8, **config)
  return english.decode(
    beam_search.BeamSearch(english.pieces, config, lm).best(log_probs)
  )


def test_a_language_model_decides_between_words_that_sound_alike():
  words = ['a', 'red', 'rod', 'wine']
  unigrams = {(word,): -2.0 for word in [*words, '</s>']}
  for word in 'red', 'rod':
    lm = arpa.LanguageModel(unigrams | {(word, 'wine'): -0.5}, {})
    assert decoded(['red wine', 'rod wine'], lm) == f'{word} wine'
    lm = arpa.LanguageModel(unigrams | {('a', word): -0.5}, {})
    assert decoded(['a red', 'a rod'], lm) == f'a {word}'  # The last word.
    lm = arpa.LanguageModel(unigrams | {(word, '</s>'): -0.5}, {})
    assert decoded(['a red', 'a rod'], lm) == f'a {word}'
  lm = arpa.LanguageModel(unigrams, {})
  assert decoded(['a red', 'a rid'], lm) == 'a red'
  assert decoded(['a rid'], lm) == 'a rid'  # Unknown, but the audio is clear.


def test_words_without_their_spaces_do_not_fill_the_beam():
  """The cost of unknown words counts before they end."""
  words = ['ab', 'ba', 'cd', 'dc']
  lm = arpa.LanguageModel({(w,): -1.0 for w in [*words, '</s>']}, {})
  text = ' '.join(words * 3)
  log_probs, english = ambiguous([text, text.replace(' ', 'e')])
  config = beam_search.BeamConfig(4, 1.0)
  found = beam_search.BeamSearch(english.pieces, config, lm).best(log_probs)
  assert english.decode(found) == text


def test_a_bonus_makes_more_words_of_what_may_be_one():
  for bonus, text in ((2.0, 'a b'), (-2.0, 'a-b')):
    assert decoded(['a b', 'a-b'], None, word_bonus=bonus) == text


def test_numbers_that_are_none_give_no_tokens():
  assert search(np.full([3, 4], np.nan), PIECES[0], LM, width=3) == [
    beam_search.Hypothesis((), -math.inf)
  ]
