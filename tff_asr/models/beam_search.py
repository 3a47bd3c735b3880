"""Decodes by CTC prefix beam search with a word n-gram language model.

Sources are Graves et al., ICML 2006, and Hannun et al., 2014 (arXiv 1408.2873).
A prefix is a sequence of tokens.  Its probability is the sum over all
alignments that collapse to the prefix.  The search keeps two sums: one of the
alignments that end in a blank, and one of the others.  The score of a prefix is

    log p_ctc + lm_weight * log p_lm + word_bonus * words

A word enters the score when the next word begins.  The last word and the end of
the sentence enter the score after the last frame.  The penalty of an unknown
word enters earlier: as soon as no known word begins with the letters of the
prefix's last word.  Otherwise, prefixes without spaces would fill the beam,
because they avoid the cost of words.  NumPy computes all values in float64.
"""

from collections.abc import Sequence
import dataclasses
from typing import NamedTuple

import numpy as np

from tff_asr.text import arpa
from tff_asr.text.vocabularies import BLANK


@dataclasses.dataclass(frozen=True)
class BeamConfig:
  """Beam width and weights of the scores.

  Attributes:
    width: Greatest number of prefixes after a frame.
    lm_weight: Factor of the language model's log-probability.
    word_bonus: Score of each word, in nats.  A language model lowers the score
      for each word, so hypotheses have too few words without a bonus.
    min_log_prob: Least log-probability of a token on a frame, in nats.  The
      search excludes less probable tokens on that frame, except the most
      probable one.  -inf excludes no token.
    max_tokens: Greatest number of tokens on a frame, the blank included.  The
      search excludes all but the most probable tokens.
  """

  width: int
  lm_weight: float = 0.5
  word_bonus: float = 0.0
  min_log_prob: float = -7.0
  max_tokens: int = 40


@dataclasses.dataclass(frozen=True)
class Hypothesis:
  """A hypothesis of an utterance's text.

  Attributes:
    tokens: Tokens of the text, without blanks.
    score: Score in nats: log p_ctc, language model and word bonus.
  """

  tokens: tuple[int, ...]
  score: float


class _Prefixes:
  """A tree of the prefixes of a search; prefix 0 is the empty prefix.

  Attributes:
    parents: For each prefix, the prefix without the last token.
    tokens: Last token of each prefix; the blank for the empty prefix.
    ranks: Score of each prefix during the search, without log p_ctc: language
      model and bonus of the complete words, and the penalty of the last word if
      no known word begins like it.
  """

  def __init__(
    self,
    pieces: Sequence[str],
    lm: arpa.LanguageModel | None,
    config: BeamConfig,
  ):
    self._pieces = pieces
    self._lm = lm
    self._config = config
    self.parents = [-1]
    self.tokens = [BLANK]
    self.ranks = [0.0]
    self._scores = [0.0]  # Scores of the complete words.
    self._states: list[arpa.State] = [lm.start if lm else ()]
    self._words = ['']  # The letters since the last space.
    self._children: dict[tuple[int, int], int] = {}
    self._closed: dict[int, tuple[float, arpa.State]] = {}
    # Ranks by prefix and token, only for prefixes of the beam, to save memory.
    self._ranks_of_longer: dict[int, dict[int, float]] = {}

  def child(self, prefix: int, token: int) -> int:
    """Returns a prefix with one more token; adds it to the tree if needed."""
    child = self._children.get((prefix, token))
    if child is None:
      child = self._children[prefix, token] = len(self.parents)
      score, state, word = self._longer(prefix, token)
      self.parents.append(prefix)
      self.tokens.append(token)
      self.ranks.append(score + self._penalty(word))
      self._scores.append(score)
      self._states.append(state)
      self._words.append(word)
    return child

  def keep_ranks(self, beam: Sequence[int]) -> None:
    """Removes stored ranks of extensions of prefixes outside the beam."""
    ranks = self._ranks_of_longer
    self._ranks_of_longer = {p: ranks.get(p, {}) for p in beam}

  def rank_of_longer(self, prefix: int, token: int) -> float:
    """Returns the rank of a prefix of the beam with one more token."""
    ranks = self._ranks_of_longer[prefix]
    rank = ranks.get(token)
    if rank is None:
      score, _, word = self._longer(prefix, token)
      rank = ranks[token] = score + self._penalty(word)
    return rank

  def final(self, prefix: int) -> float:
    """Returns the score with the last word and the end of the sentence."""
    score, state = self._with_word_closed(prefix)
    if self._lm:
      score += self._config.lm_weight * self._lm.end(state)
    return score

  def sequence(self, prefix: int) -> tuple[int, ...]:
    """Returns the tokens of a prefix."""
    tokens = []
    while prefix:
      tokens.append(self.tokens[prefix])
      prefix = self.parents[prefix]
    return tuple(reversed(tokens))

  def _longer(self, prefix: int, token: int) -> tuple[float, arpa.State, str]:
    """Returns score, state and last word of a prefix with one more token."""
    word = self._words[prefix]
    first, *others = self._pieces[token].split(' ')
    if not others:
      return self._scores[prefix], self._states[prefix], word + first
    if first:
      score, state = self._plus(
        self._scores[prefix], self._states[prefix], word + first
      )
    else:
      score, state = self._with_word_closed(prefix)
    *complete, last = others
    for word in complete:
      score, state = self._plus(score, state, word)
    return score, state, last

  def _penalty(self, word: str) -> float:
    if not self._lm or self._lm.begins_word(word):
      return 0.0
    return self._config.lm_weight * arpa.UNKNOWN_PENALTY

  def _with_word_closed(self, prefix: int) -> tuple[float, arpa.State]:
    closed = self._closed.get(prefix)
    if closed is None:
      closed = self._closed[prefix] = self._plus(
        self._scores[prefix], self._states[prefix], self._words[prefix]
      )
    return closed

  def _plus(
    self, score: float, state: arpa.State, word: str
  ) -> tuple[float, arpa.State]:
    if not word:
      return score, state
    score += self._config.word_bonus
    if self._lm:
      log_prob, state = self._lm.score(state, word)
      score += self._config.lm_weight * log_prob
    return score, state


class _Beam(NamedTuple):
  """Distinct prefixes that a search keeps after a frame.

  Attributes:
    prefixes: Numbers of the prefixes in `_Prefixes`.
    blank: For each prefix, log-probability of the alignments that end in a
      blank.
    label: For each prefix, log-probability of the alignments that end in its
      last token.
  """

  prefixes: list[int]
  blank: np.ndarray
  label: np.ndarray


class _Candidates:
  """Log-probabilities after a frame, before the choice of the best prefixes.

  Attributes:
    tokens: Possible tokens of the frame, without the blank.
    blank: Log-probabilities `_Beam.blank` of the beam's prefixes.
    label: Log-probabilities `_Beam.label` of the beam's prefixes.
    longer: Log-probabilities of the beam's prefixes with one more token,
      `[prefixes, tokens]`.  -inf if the longer prefix is already in the beam.
  """

  def __init__(self, prefixes: _Prefixes, beam: _Beam, row: np.ndarray):
    tokens = np.flatnonzero(row > -np.inf)
    self.tokens = tokens = tokens[tokens != BLANK]
    last = np.array([prefixes.tokens[prefix] for prefix in beam.prefixes], int)
    total = np.logaddexp(beam.blank, beam.label)
    self.blank = total + row[BLANK]
    self.label = np.where(last == BLANK, -np.inf, beam.label + row[last])
    # A repeat of the last token makes a longer prefix only after a blank.
    is_last = last[:, None] == tokens
    before = np.where(is_last, beam.blank[:, None], total[:, None])
    self.longer = before + row[tokens]
    # If the beam already has a longer prefix, the probability is added there.
    place = {prefix: i for i, prefix in enumerate(beam.prefixes)}
    column = {int(token): i for i, token in enumerate(tokens)}
    for i, prefix in enumerate(beam.prefixes):
      parent = place.get(prefixes.parents[prefix])
      at = column.get(prefixes.tokens[prefix])
      if parent is not None and at is not None:
        self.label[i] = np.logaddexp(self.label[i], self.longer[parent, at])
        self.longer[parent, at] = -np.inf


class BeamSearch:
  """Searches for the best hypotheses of utterances; threads may share it."""

  def __init__(
    self,
    pieces: Sequence[str],
    config: BeamConfig,
    lm: arpa.LanguageModel | None = None,
  ):
    """Builds a search.

    Args:
      pieces: Text of each token, as `Vocabulary.pieces`.
      config: Settings of the search.
      lm: Language model.  Without one, the score is CTC and the word bonus.
    """
    self._pieces = tuple(pieces)
    self._config = config
    self._lm = lm
    self._has_ranks = lm is not None or config.word_bonus != 0.0

  def hypotheses(self, log_probs: np.ndarray) -> list[Hypothesis]:
    """Returns the hypotheses of the beam after the last frame, best first.

    Args:
      log_probs: Log-probabilities in nats, `[frames, vocabulary]`, normalised
        over the vocabulary.  The blank is token 0.

    Returns:
      One hypothesis or more.  If all of `log_probs` are NaN, one empty
      hypothesis with the score -inf.
    """
    prefixes = _Prefixes(self._pieces, self._lm, self._config)
    beam = _Beam([0], np.zeros(1), np.full(1, -np.inf))
    for row in np.asarray(log_probs, np.float64):
      beam = self._step(prefixes, beam, row)
    finals = [prefixes.final(prefix) for prefix in beam.prefixes]
    scores = np.logaddexp(beam.blank, beam.label) + finals
    found = [
      Hypothesis(prefixes.sequence(beam.prefixes[i]), float(scores[i]))
      for i in np.argsort(-scores, kind='stable')
    ]
    return found or [Hypothesis((), -np.inf)]

  def best(self, log_probs: np.ndarray) -> tuple[int, ...]:
    """Returns the tokens of the best of `hypotheses`, for the same argument."""
    return self.hypotheses(log_probs)[0].tokens

  def _step(self, prefixes: _Prefixes, beam: _Beam, row: np.ndarray) -> _Beam:
    """Advances the beam by one frame.

    Args:
      prefixes: Tree of prefixes; the method adds new prefixes.
      beam: Beam before the frame.
      row: Log-probabilities of the frame's tokens.
    """
    candidates = _Candidates(prefixes, beam, self._pruned(row))
    kept = self._best(self._ranks(prefixes, beam.prefixes, candidates))
    size, tokens = len(beam.prefixes), candidates.tokens
    stays, grows = kept[kept < size], kept[kept >= size] - size
    parents, columns = np.divmod(grows, max(1, len(tokens)))
    grown = [
      prefixes.child(beam.prefixes[parent], int(tokens[at]))
      for parent, at in zip(parents, columns, strict=True)
    ]
    return _Beam(
      [beam.prefixes[i] for i in stays] + grown,
      np.concatenate([candidates.blank[stays], np.full(len(grown), -np.inf)]),
      np.concatenate(
        [candidates.label[stays], candidates.longer[parents, columns]]
      ),
    )

  def _ranks(
    self, prefixes: _Prefixes, beam: list[int], candidates: _Candidates
  ) -> np.ndarray:
    """Returns ranks of the beam's prefixes, then of all longer prefixes."""
    ranks = np.array([prefixes.ranks[prefix] for prefix in beam])
    ranks_of_longer = candidates.longer.copy()
    if self._has_ranks:
      prefixes.keep_ranks(beam)
      for i, at in np.argwhere(candidates.longer > -np.inf):
        ranks_of_longer[i, at] += prefixes.rank_of_longer(
          beam[i], int(candidates.tokens[at])
        )
    return np.concatenate(
      [
        np.logaddexp(candidates.blank, candidates.label) + ranks,
        ranks_of_longer.ravel(),
      ]
    )

  def _pruned(self, row: np.ndarray) -> np.ndarray:
    """Returns a frame's log-probabilities, -inf for excluded tokens."""
    least, most = self._config.min_log_prob, self._config.max_tokens
    is_kept = row >= min(least, row.max())
    if np.count_nonzero(is_kept) > most:
      is_kept[np.argsort(-row, kind='stable')[most:]] = False
    return np.where(is_kept, row, -np.inf)

  def _best(self, ranks: np.ndarray) -> np.ndarray:
    """Returns the sorted indices of the best candidates that are possible."""
    width = self._config.width
    if len(ranks) > width:
      kept = np.sort(np.argpartition(-ranks, width)[:width])
    else:
      kept = np.arange(len(ranks))
    return kept[ranks[kept] > -np.inf]
