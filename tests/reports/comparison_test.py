"""Several runs on one page, and what they promise together."""

import json
import re

import pytest

from tests.runs import runs
from tff_asr import checksums, errors
from tff_asr.privacy.accounting import accountants
from tff_asr.reports import comparison
from tff_asr.runs import joint_account, lineage
from tff_asr.runs import records as run_record

STRONG = runs.make_plan(10**6, 1_000, 1.0)


def words_on(*folders):
  """What is said of runs together, in one text."""
  records = [run_record.read(folder.path) for folder in folders]
  names = [folder.path.name for folder in folders]
  return ' '.join(joint_account.in_words(records, names))


def test_figures_flags_that_differ_and_curves(tmp_path):
  one, _ = runs.finish(tmp_path / 'one', runs.PLAN, cohort_size='16')
  two, _ = runs.begin(tmp_path / 'two', None, store='other', cohort_size='8')
  output = tmp_path / 'compare.html'
  said = comparison.write([one.path, two.path], output)
  assert said == f'compared  {output}'
  text = output.read_text()
  assert 'unfinished, round 2' in text
  assert 'href="one/report.html"' in text and 'two/report.html' not in text
  assert '--cohort_size' in text and '--rounds' not in text
  assert text.count('<svg') == 2 and '<script' not in text
  marked = re.findall('<tr class="marked">(.*?)</tr>', text)
  assert len(marked) == 1 and 'one' in marked[0]


def test_a_run_of_an_earlier_release_differs_in_no_flag_that_it_did_not_have(
  tmp_path,
):
  one, _ = runs.finish(tmp_path / 'one', runs.PLAN)
  two, _ = runs.finish(tmp_path / 'two', runs.PLAN, mechanism='gaussian')
  three, _ = runs.finish(tmp_path / 'three', runs.PLAN, mechanism='new')
  output = tmp_path / 'compare.html'
  comparison.write([one.path, two.path], output)
  assert '--mechanism' not in output.read_text()
  comparison.write([one.path, three.path], output)
  assert '--mechanism' in output.read_text()


def test_runs_of_the_same_name_are_told_apart(tmp_path):
  folders = [
    runs.begin(tmp_path / which / 'run', runs.PLAN)[0] for which in 'ab'
  ]
  comparison.write([f.path for f in folders], tmp_path / 'compare.html')
  text = (tmp_path / 'compare.html').read_text()
  assert 'a/run' in text and 'b/run' in text


def test_what_cannot_be_compared_is_refused(tmp_path):
  folder, _ = runs.begin(tmp_path / 'run', None)
  for paths, output, message in (
    ([folder.path, folder.path], 'page.html', 'twice'),
    ([folder.path, tmp_path], 'page.html', 'no run in'),
    ([folder.path], 'nowhere/page.html', 'cannot be written'),
  ):
    with pytest.raises(errors.UserError, match=message):
      comparison.write(paths, tmp_path / output)
  assert not (tmp_path / 'page.html').exists()


def test_private_runs_on_the_same_store_are_accounted_for_together(tmp_path):
  folders = [
    runs.begin(tmp_path / name, STRONG, rounds)[0]
    for name, rounds in (('one', 10), ('two', 20))
  ]
  both = accountants.text(STRONG.epsilons(30).best)
  assert 'one, two trained on clients of the same store' in words_on(*folders)
  assert f'the joint epsilon is {both} by PLD' in words_on(*folders)
  other, _ = runs.begin(tmp_path / 'other', STRONG, store='other')
  assert words_on(folders[0], other) == ''


def test_a_run_without_a_guarantee_takes_it_from_the_choice(tmp_path):
  private, _ = runs.begin(tmp_path / 'private', STRONG)
  open_, _ = runs.begin(tmp_path / 'open', None, metrics='round,wer\n0,0.5\n')
  seeded, _ = runs.begin(
    tmp_path / 'seeded', runs.make_plan(insecure_noise_seed=1)
  )
  said = words_on(private, open_, seeded)
  assert 'open, seeded trained on the same store without a guarantee' in said
  assert 'without any guarantee' in words_on(open_, seeded)
  # Of a run that has not begun nobody has seen anything.
  idle, _ = runs.begin(tmp_path / 'idle', None, rounds=0)
  assert words_on(private, idle) == ''


def test_other_neighbours_do_not_add_up_and_it_says_so(tmp_path):
  poisson, _ = runs.begin(tmp_path / 'poisson', STRONG)
  fixed, _ = runs.begin(
    tmp_path / 'fixed', runs.make_plan(10**6, 1_000, 1.0, sampling='fixed')
  )
  said = words_on(poisson, fixed)
  assert 'cannot be given' in said and 'do not add up' in said


def test_unprotected_figures_and_other_seed_speakers_are_named(tmp_path):
  folders = []
  for name, speakers in ('one', ('bob',)), ('two', ('bob', 'eve')):
    folder, _ = runs.begin(
      tmp_path / name,
      runs.make_plan(10**6, 1_000, 1.0, unprotected_metrics=name == 'two'),
    )
    lineage.write(folder.seed_model, (lineage.Training('store', speakers),))
    folders.append(folder)
  said = words_on(*folders)
  assert 'two released figures on the clients without noise' in said
  assert (
    'No guarantee for 1 speaker, who trained the seed model of some' in said
  )


def test_one_store_is_recognised_by_its_name_and_by_its_content(tmp_path):
  """A run of an earlier release, and one of this, with the same speakers."""
  folders = []
  for name, recorded in ('old', 'store'), ('new', 'store-1'):
    folder, _ = runs.begin(tmp_path / name, STRONG)
    record = {
      'train': 'store',
      **({'names': ['store-1']} if name == 'new' else {}),
    }
    checksums.write(folder.stores, json.dumps(record))
    lineage.write(folder.seed_model, lineage.trainings([recorded], ['bob']))
    folders.append(folder)
  said = words_on(*folders)
  assert 'old, new trained on clients of the same store' in said
  assert 'speakers trained the seed model' not in said
