import dataclasses

import pytest

from tests import stores
from tff_asr import errors
from tff_asr.commands import evaluate
from tff_asr.learning import personalisation
from tff_asr.models import model_folder, presets
from tff_asr.runs import lineage
from tff_asr.text import vocabularies

ENGLISH = vocabularies.CharacterVocabulary()
ARPA = """\\data\\
ngram 1=3

\\1-grams:
-99 <s>
-0.3 </s>
-0.3 yes

\\end\\
"""


@pytest.mark.parametrize(
  ('settings', 'message'),
  [
    (dict(beam=-1), '`beam=-1` must be 0'),
    (dict(lm='lm.arpa'), '`lm` is for the beam search: give `beam=50`'),
    (dict(lm_weight=0.5), '`lm_weight` is for the beam search'),
    (dict(word_bonus=0.0), '`word_bonus` is for the beam search'),
    (dict(beam=5, lm_weight=0.5), 'give `lm`'),
    (dict(beam=5, lm='lm.arpa', lm_weight=-0.1), '`lm_weight=-0.1` must be'),
    (dict(beam=5, lm='lm.arpa', lm_weight=float('nan')), '`lm_weight=nan`'),
    (dict(beam=5, word_bonus=float('inf')), '`word_bonus=inf` must be'),
  ],
)
def test_settings_that_do_not_fit_are_refused(settings, message):
  with pytest.raises(errors.UserError, match=message):
    evaluate.Decoding(**settings)


def test_greedy_decoding_is_the_default():
  assert evaluate.Decoding().search(ENGLISH) is None


def test_a_missing_language_model_is_named(tmp_path):
  decoding = evaluate.Decoding(beam=5, lm=tmp_path / 'nowhere.arpa')
  with pytest.raises(errors.UserError, match=r'no file .*nowhere.arpa'):
    decoding.search(ENGLISH)


def write_model(folder):
  config = dataclasses.replace(presets.preset('tiny', ENGLISH.size), width=16)
  encoder = config.build()
  model_folder.save(folder, encoder, ENGLISH)


def test_clients_of_a_private_run_are_refused_or_marked(tmp_path):
  items = [stores.make(name, f'{name}-0') for name in ('ann', 'bob')]
  store = stores.opened(tmp_path / 'store', items)
  other = stores.opened(tmp_path / 'other', [stores.make('eve', 'eve-0')])
  model = tmp_path / 'model'
  write_model(model)

  def evaluated(*trainings, store=store, **settings):
    lineage.write(model, trainings)
    return evaluate.evaluate(model, store.path, 0, **settings)

  seed = lineage.Training(store.name, unprotected=('ann',))
  private = lineage.Training(store.name, ledger='a ledger')
  with pytest.raises(errors.UserError, match='A private run') as caught:
    evaluated(seed, private)
  assert '\n' not in str(caught.value)
  tuned = personalisation.PersonalisationConfig(1, 0.1, 16.0)
  with pytest.raises(errors.UserError, match='A private run'):
    evaluated(seed, private, personalise=tuned)
  marked = evaluated(seed, private, unprotected=True)
  assert marked.startswith('UNPROTECTED: ') and 'bob' in marked
  # To these nothing was promised.
  everybody = lineage.Training(store.name, unprotected=('ann', 'bob'))
  for text in (
    evaluated(seed),
    evaluated(everybody, private),
    evaluated(seed, private, store=other),
    evaluated(seed, unprotected=True),
  ):
    assert 'UNPROTECTED' not in text and 'WER' in text


def test_a_model_of_unknown_training_is_refused_or_marked(tmp_path):
  """Until somebody who knows says that it was trained on nobody here."""
  store = stores.opened(tmp_path / 'store', [stores.make('ann', 'ann-0')])
  model = tmp_path / 'model'
  write_model(model)
  assert lineage.read(model) == (lineage.UNKNOWN,)
  with pytest.raises(errors.UserError, match=r'no lineage\.json') as caught:
    evaluate.evaluate(model, store.path, 0)
  assert '\n' not in str(caught.value)
  marked = evaluate.evaluate(model, store.path, 0, unprotected=True)
  assert marked.startswith('UNKNOWN: ') and 'ann' in marked
  (model / 'lineage.json').write_text('{"trainings": []}')
  assert evaluate.evaluate(model, store.path, 0).startswith('speaker')


def test_a_damaged_store_gives_no_error_rates(tmp_path):
  """Also where the records can still be read."""
  write_model(tmp_path / 'model')
  lineage.write(tmp_path / 'model', ())
  path = tmp_path / 'store'
  stores.write(path, [stores.make('ann', 'ann-0')])
  database = path / 'clients.sqlite'
  contents = database.read_bytes()
  database.write_bytes(contents.replace(b'yes', b'yet'))
  with pytest.raises(errors.UserError, match=f'{database} is not as it was'):
    evaluate.evaluate(tmp_path / 'model', path, 0)


def test_a_model_is_evaluated_with_a_language_model(tmp_path):
  write_model(tmp_path / 'model')
  lineage.write(tmp_path / 'model', ())
  stores.write(tmp_path / 'store', [stores.make('a', 'a-0')])
  (tmp_path / 'lm.arpa').write_text(ARPA)

  def words(bonus):
    text = evaluate.evaluate(
      *(tmp_path / 'model', tmp_path / 'store', 1),
      decoding=evaluate.Decoding(4, tmp_path / 'lm.arpa', word_bonus=bonus),
    )
    (line,) = (line for line in text.splitlines() if 'hypothesis' in line)
    return len(line.split()) - 1

  assert words(-99.0) <= 1 < words(99.0)
