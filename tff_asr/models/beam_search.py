"""CTC prefix beam search with a word n-gram language model.

Graves et al., ICML 2006, and Hannun et al., 2014 (arXiv 1408.2873).  A prefix
is a sequence of tokens; its probability is the sum over the alignments that
collapse to it, kept apart by whether they end in a blank.  The best prefixes
are those with the greatest

    log p_ctc + lm_weight * log p_lm + word_bonus * words

where a word counts as soon as the next begins, and the last one, with the end
of the sentence, after the last frame.  The penalty of an unknown word counts
against its prefix as soon as no known word begins as it does: prefixes that
leave out the spaces, and so the cost of their words, would fill the beam
otherwise.  All in float64, by numpy.
"""

from collections.abc import Sequence
import dataclasses
from typing import NamedTuple

import numpy as np

from tff_asr.text import arpa
from tff_asr.text.vocabulary import BLANK


@dataclasses.dataclass(frozen=True)
class BeamConfig:
  """Beam width and weights of the scores.

  Attributes:
    width: Number of prefixes that are kept after a frame.
    lm_weight: Factor of the language model's log-probability.
    word_bonus: Added for every word, in nats.  A language model makes every
      word cost something, so that too few are heard without it.
    min_log_prob: Tokens of a frame with a log-probability below it count as
      impossible there, unless it is the frame's best; -inf for none.
    max_tokens: So many tokens of a frame, the most probable, go on at most, the
      blank among them.
  """

  width: int
  lm_weight: float = 0.5
  word_bonus: float = 0.0
  min_log_prob: float = -7.0
  max_tokens: int = 40


@dataclasses.dataclass(frozen=True)
class Hypothesis:
  """What may have been said.

  Attributes:
    tokens: Without blanks.
    score: log p_ctc in nats, with the language model and the bonus.
  """

  tokens: tuple[int, ...]
  score: float


class _Prefixes:
  """The prefixes of a search, as a tree that grows; 0 is the empty one.

  Attributes:
    parents: The prefix without the last token.
    tokens: The last token; the blank for the empty prefix.
    ranks: What counts beside log p_ctc as long as the search goes on: language
      model and bonus of the words that are complete, and the penalty of the
      last word if it is unknown already.
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
    self._scores = [0.0]  # Of the words that are complete.
    self._states: list[arpa.State] = [lm.start if lm else ()]
    self._words = ['']  # The letters since the last space.
    self._children: dict[tuple[int, int], int] = {}
    self._closed: dict[int, tuple[float, arpa.State]] = {}
    # By prefix and token; for prefixes of the beam alone, to save memory.
    self._ranks_of_longer: dict[int, dict[int, float]] = {}

  def child(self, prefix: int, token: int) -> int:
    """The prefix with one more token, always the same for the same two."""
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
    """Forgets the ranks of what is longer than prefixes outside the beam."""
    ranks = self._ranks_of_longer
    self._ranks_of_longer = {p: ranks.get(p, {}) for p in beam}

  def rank_of_longer(self, prefix: int, token: int) -> float:
    """What `ranks` will have of a prefix of the beam with one more token."""
    ranks = self._ranks_of_longer[prefix]
    rank = ranks.get(token)
    if rank is None:
      score, _, word = self._longer(prefix, token)
      rank = ranks[token] = score + self._penalty(word)
    return rank

  def final(self, prefix: int) -> float:
    """The score with the last word and the end of the sentence."""
    score, state = self._with_word_closed(prefix)
    if self._lm:
      score += self._config.lm_weight * self._lm.end(state)
    return score

  def sequence(self, prefix: int) -> tuple[int, ...]:
    """The tokens of a prefix."""
    tokens = []
    while prefix:
      tokens.append(self.tokens[prefix])
      prefix = self.parents[prefix]
    return tuple(reversed(tokens))

  def _longer(self, prefix: int, token: int) -> tuple[float, arpa.State, str]:
    """Score, state and last word of the prefix with one more token."""
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
  """The prefixes that a search keeps after a frame, each once.

  Attributes:
    prefixes: Their numbers in `_Prefixes`.
    blank: Log-probability of each by alignments that end in a blank.
    label: Log-probability of each by alignments that end in its last token.
  """

  prefixes: list[int]
  blank: np.ndarray
  label: np.ndarray


class _Candidates:
  """Log-probabilities after a frame, before the best prefixes are chosen.

  Attributes:
    tokens: The tokens that are possible on the frame, without the blank.
    blank: As in `_Beam`, of the prefixes of the beam.
    label: Likewise.
    longer: `[prefixes, tokens]`, of the prefixes with one more token; -inf of
      those that are in the beam already.
  """

  def __init__(self, prefixes: _Prefixes, beam: _Beam, row: np.ndarray):
    tokens = np.flatnonzero(row > -np.inf)
    self.tokens = tokens = tokens[tokens != BLANK]
    last = np.array([prefixes.tokens[prefix] for prefix in beam.prefixes], int)
    total = np.logaddexp(beam.blank, beam.label)
    self.blank = total + row[BLANK]
    self.label = np.where(last == BLANK, -np.inf, beam.label + row[last])
    # A token that is the last one already makes a longer prefix only after a
    # blank.
    is_last = last[:, None] == tokens
    before = np.where(is_last, beam.blank[:, None], total[:, None])
    self.longer = before + row[tokens]
    # A longer prefix that is in the beam already gets the probability there.
    place = {prefix: i for i, prefix in enumerate(beam.prefixes)}
    column = {int(token): i for i, token in enumerate(tokens)}
    for i, prefix in enumerate(beam.prefixes):
      parent = place.get(prefixes.parents[prefix])
      at = column.get(prefixes.tokens[prefix])
      if parent is not None and at is not None:
        self.label[i] = np.logaddexp(self.label[i], self.longer[parent, at])
        self.longer[parent, at] = -np.inf


class BeamSearch:
  """Finds the most probable texts of utterances; may be shared by threads."""

  def __init__(
    self,
    pieces: Sequence[str],
    config: BeamConfig,
    lm: arpa.LanguageModel | None = None,
  ):
    """Prepares a search.

    Args:
      pieces: The text of every token, as `Vocabulary.pieces`.
      config: Of the search.
      lm: The language model; without one only CTC and the bonus count.
    """
    self._pieces = tuple(pieces)
    self._config = config
    self._lm = lm
    self._has_ranks = lm is not None or config.word_bonus != 0.0

  def hypotheses(self, log_probs: np.ndarray) -> list[Hypothesis]:
    """The prefixes of the beam after the last frame, the best first.

    Args:
      log_probs: `[frames, vocabulary]`, in nats, normalised over the
        vocabulary; the blank is token 0.

    Returns:
      One at least; with the score -inf if `log_probs` are no numbers.
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
    """The tokens of the best hypothesis; arguments as of `hypotheses`."""
    return self.hypotheses(log_probs)[0].tokens

  def _step(self, prefixes: _Prefixes, beam: _Beam, row: np.ndarray) -> _Beam:
    """Advances the beam by one frame.

    Args:
      prefixes: The tree of prefixes, to which new ones are added.
      beam: The prefixes that are kept.
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
    """Returns the ranks of the beam's prefixes, then of all longer ones."""
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
    """Log-probabilities of a frame, -inf of the tokens that are left out."""
    least, most = self._config.min_log_prob, self._config.max_tokens
    is_kept = row >= min(least, row.max())
    if np.count_nonzero(is_kept) > most:
      is_kept[np.argsort(-row, kind='stable')[most:]] = False
    return np.where(is_kept, row, -np.inf)

  def _best(self, ranks: np.ndarray) -> np.ndarray:
    """Places of the possible candidates of the highest rank, in their order."""
    width = self._config.width
    if len(ranks) > width:
      kept = np.sort(np.argpartition(-ranks, width)[:width])
    else:
      kept = np.arange(len(ranks))
    return kept[ranks[kept] > -np.inf]
