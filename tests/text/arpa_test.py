import gzip
import itertools
import math

from hypothesis import given
from hypothesis import strategies as st
import pytest

from tff_asr import errors
from tff_asr.text import arpa
from tff_asr.text.normalisation import ENGLISH, FRENCH

SRILM = r"""

\data\
ngram 1=4
ngram 2=2

\1-grams:
-0.4	</s>
-99	<s>	-0.3
-0.6	one	-0.2
-0.8	two

\2-grams:
-0.1	<s> one
-0.2	one two

\end\
"""
# Spaces, two blank lines, a back-off weight where none is needed, <unk>.
IRSTLM = r"""
\data\
ngram  1=         5
ngram  2=         2


\1-grams:
-1.7 <unk>
-0.4  </s> -1.0
-99 <s> -0.3
-0.6 one -0.2
-0.8 two 0.0


\2-grams:
-0.1 <s> one 0.0
-0.2 one two
\end\
"""
# Its header has comments, a carriage return, orders from above.
KENLM = (
  '# Comments\r\n\\data\\\r\nngram 2=2\r\nngram 1=5\r\n\r\n\\1-grams:\r\n'
  '-1.7\t<unk>\t0\r\n-99\t<s>\t-0.3\r\n-0.4\t</s>\t0\r\n-0.6\tone\t-0.2\r\n'
  '-0.8\ttwo\t0\r\n\r\n\\2-grams:\r\n-0.1\t<s> one\r\n-0.2\tone two\r\n\r\n'
  '\\end\\\r\n'
)


def read(folder, text, alphabet=ENGLISH, name='lm.arpa'):
  path = folder / name
  path.write_bytes(text.encode())
  return arpa.read(path, alphabet)


def log10(lm, *words):
  """Log10 probabilities of the words of a sentence and of its end."""
  state, found = lm.start, []
  for word in words:
    score, state = lm.score(state, word)
    found.append(score)
  return [score / math.log(10) for score in (*found, lm.end(state))]


@pytest.mark.parametrize('text', [SRILM, IRSTLM, KENLM, KENLM.upper()])
def test_the_dialects_of_the_tools_are_read(tmp_path, text):
  lm = read(tmp_path, text)
  assert lm.order == 2
  assert log10(lm, 'one', 'two') == pytest.approx([-0.1, -0.2, -0.4])
  # Back-off from <s>, from `two` that has no weight, and from `one`.
  assert log10(lm, 'two', 'one') == pytest.approx([-1.1, -0.6, -0.6])


def test_an_unknown_word_costs_a_penalty_beside_the_probability_of_unk(
  tmp_path,
):
  lm = read(tmp_path, SRILM)
  assert 'one' in lm and 'six' not in lm
  assert log10(lm, 'six', 'two') == pytest.approx([-10.0, -0.8, -0.4])
  lm = read(tmp_path, KENLM)
  assert log10(lm, 'six', 'two') == pytest.approx([-12.0, -0.8, -0.4])
  lm = read(tmp_path, IRSTLM.replace('<unk>', '<UNK>'))
  assert log10(lm, 'six')[0] == pytest.approx(-12.0)


def test_ngrams_with_unk_are_used(tmp_path):
  lm = read(tmp_path, KENLM.replace('one two', '<unk> two'))
  assert log10(lm, 'six', 'two')[1] == pytest.approx(-0.2)


def test_beginnings_of_words_are_known(tmp_path):
  lm = read(tmp_path, KENLM)
  beginnings = {'', 'o', 'on', 'one', 't', 'tw', 'two'}
  for letters in *beginnings, 'n', 'ones', 'a', 'z', 'onf':
    assert lm.begins_word(letters) == (letters in beginnings)


def test_a_model_without_ends_of_sentences_has_no_cost_for_them(tmp_path):
  text = SRILM.replace('1=4', '1=3').replace('-0.4\t</s>\n', '')
  assert log10(read(tmp_path, text), 'one')[1] == 0.0


@st.composite
def models(draw):
  """An order and n-grams of two words in which contexts may miss."""
  order = draw(st.integers(1, 3))
  value = st.floats(-9, 0)
  words = ['<s>', 'a', 'b']
  ngrams = {('<s>',): (-99.0, -0.5), ('a',): (-0.3, -0.25), ('b',): (-0.5, 0.0)}
  for n in range(2, order + 1):
    for ngram in itertools.product(words, repeat=n):
      if draw(st.booleans()):
        ngrams[ngram] = draw(st.tuples(value, value))
  return max(map(len, ngrams)), ngrams


def written(order, ngrams):
  lines = ['\\data\\']
  sections = [[g for g in ngrams if len(g) == n] for n in range(1, order + 1)]
  for n, section in enumerate(sections, start=1):
    lines.append(f'ngram {n}={len(section)}')
  for n, section in enumerate(sections, start=1):
    lines += ['', f'\\{n}-grams:']
    for ngram in section:
      log_prob, back_off = ngrams[ngram]
      weight = f'\t{back_off!r}' if n < order else ''
      lines.append(f'{log_prob!r}\t{" ".join(ngram)}{weight}')
  return '\n'.join([*lines, '', '\\end\\', ''])


def by_definition(ngrams, context, word):
  if (*context, word) in ngrams:
    return ngrams[(*context, word)][0]
  back_off = ngrams[context][1] if context in ngrams else 0.0
  return back_off + by_definition(ngrams, context[1:], word)


@given(models(), st.lists(st.sampled_from('ab'), max_size=5), st.booleans())
def test_scores_are_those_of_the_definition(
  tmp_path_factory, model, sentence, is_zipped
):
  order, ngrams = model
  path = tmp_path_factory.mktemp('lm') / ('a.gz' if is_zipped else 'a.arpa')
  content = written(order, ngrams).encode()
  path.write_bytes(gzip.compress(content) if is_zipped else content)
  lm = arpa.read(path, ENGLISH)
  assert lm.order == order
  history = ('<s>', *sentence)
  expected = [
    by_definition(ngrams, history[max(0, i - order + 1) : i], history[i])
    for i in range(1, len(history))
  ]
  assert log10(lm, *sentence)[:-1] == pytest.approx(expected)


@given(st.lists(st.floats(0.1, 1), min_size=3, max_size=3), st.data())
def test_probabilities_of_a_proper_model_sum_to_one(weights, data):
  """Bigrams have the mass that a discount leaves; back-off has the rest."""
  words = ['a', 'b', '</s>']
  unigram = {w: x / sum(weights) for w, x in zip(words, weights, strict=True)}
  log_probs = {(w,): math.log(p) for w, p in unigram.items()}
  back_offs = {}
  for context in '<s>', 'a', 'b':
    seen = data.draw(st.sets(st.sampled_from(words), max_size=2))
    for word in seen:
      log_probs[context, word] = math.log(0.7 / len(seen))
    left = 0.3 if seen else 1.0
    unseen = sum(unigram[w] for w in set(words) - seen)
    back_offs[(context,)] = math.log(left / unseen)
  lm = arpa.LanguageModel(log_probs, back_offs)
  states = [lm.start, *(lm.score(lm.start, word)[1] for word in 'ab')]
  for state in states:
    scores = [*(lm.score(state, w)[0] for w in 'ab'), lm.end(state)]
    assert sum(map(math.exp, scores)) == pytest.approx(1.0)


def test_words_are_cleaned_where_the_alphabet_cannot_write_them(tmp_path):
  text = SRILM.replace('one', "DON'T").replace('two', 'CAFÉ')
  lm = read(tmp_path, text)
  assert log10(lm, "don't", 'cafe') == pytest.approx([-0.1, -0.2, -0.4])
  lm = read(tmp_path, text, FRENCH)
  assert log10(lm, "don't", 'café') == pytest.approx([-0.1, -0.2, -0.4])


def test_of_words_that_become_one_the_more_probable_counts(tmp_path):
  text = SRILM.replace('-0.8\ttwo', '-0.8\tOne').replace('one two', 'one One')
  for content in text, text.replace('-0.8', '-0.5').replace('-0.6', '-0.8'):
    lm = read(tmp_path, content)
    assert log10(lm, 'one')[0] == pytest.approx(-0.1)
    assert 'One' not in lm
  assert log10(lm, 'x', 'one')[1] == pytest.approx(-0.5)


def test_another_language_is_refused(tmp_path):
  text = SRILM.replace('one', 'один').replace('two', 'два')
  with pytest.raises(errors.UserError, match='of its 2 words'):
    read(tmp_path, text)


@pytest.mark.parametrize(
  ('old', 'new', 'message'),
  [
    ('\\data\\', 'data', r'lm.arpa, line \d+: there is no line .data.'),
    ('\\end\\', '', r'line 17: the file ends before'),
    ('ngram 1=4', 'ngram 1=5', 'line 13: the section of order 1 has 4 n-grams'),
    ('ngram 1=4', 'ngram one', "line 4: .*'ngram one'"),
    ('ngram 1=4', '1=4', "line 4: .*'1=4'"),
    ('\\2-grams:', '\\3-grams:', 'line 13: the counts .* no order 3'),
    ('\\2-grams:', '\\1-grams:', 'line 13: a second section'),
    ('\\2-grams:', '\\bigrams:', 'line 13: unknown section'),
    ('-0.1\t<s> one', '-0.1\tone', 'line 14: .* a log10 .* not 2 fields'),
    ('-0.1\t<s> one', '-0.1 <s> one 0 0', 'line 14: .* not 5 fields'),
    ('-0.1\t', 'x\t', "line 14: 'x' is not a log10 probability"),
    ('-0.1\t', 'nan\t', "line 14: 'nan' is not a log10 probability"),
    ('-0.1\t', '0.3\t', 'line 14: .* 0.3 is positive'),
    ('-0.1\t<s> one', '-1 <s> one x', "line 14: 'x' is not a log10 back-off"),
    (SRILM[:8], 'iARPA\n\n\\data\\', 'line 1: iARPA .* compile-lm'),
    (
      '\n\\2-grams:\n-0.1\t<s> one\n-0.2\tone two\n',
      '',
      r'there is no section .2-grams:',
    ),
  ],
)
def test_a_malformed_file_is_refused_with_its_line(tmp_path, old, new, message):
  assert old in SRILM
  with pytest.raises(errors.UserError, match=message) as error:
    read(tmp_path, SRILM.replace(old, new, 1))
  assert '\n' not in str(error.value) and 'lm.arpa' in str(error.value)


def test_files_that_are_none_are_refused(tmp_path):
  with pytest.raises(errors.UserError, match='There is no file'):
    arpa.read(tmp_path / 'nowhere', ENGLISH)
  with pytest.raises(errors.UserError, match='not gzipped'):
    read(tmp_path, SRILM, name='lm.gz')
  zipped = gzip.compress(SRILM.encode())
  for name, content in (
    ('cut.gz', zipped[:-20]),
    ('zipped.arpa', zipped),
    ('latin.arpa', SRILM.replace('one', 'né').encode('latin-1')),
  ):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(errors.UserError, match=f'{name}: after line'):
      arpa.read(tmp_path / name, ENGLISH)


def test_rounding_and_the_logarithm_of_zero_are_understood(tmp_path):
  text = SRILM.replace('-0.1\t', '1e-3\t').replace('-99', '-inf')
  assert log10(read(tmp_path, text), 'one')[0] == 0.0


def test_words_are_found_as_transcripts_have_them(tmp_path):
  """Whatever else the vocabulary could write."""
  text = KENLM.replace('one', 'U.S.').replace('two', 'DON’T')
  lm = read(tmp_path, text, ENGLISH + ENGLISH.upper() + '.’')
  assert 'us' in lm and "don't" in lm
