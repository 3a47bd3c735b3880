"""Plans over a grid, and what meets a target."""

import dataclasses
import re

import pytest

from tff_asr import errors
from tff_asr.commands import privacy

CONFIG = privacy.GridConfig(
  noise_multiplier=[1.0],
  cohort_size=[1_000],
  population=[100_000],
  rounds=[500],
  delta=1e-9,
)


def run(plot=None, **changes):
  text = privacy.run(dataclasses.replace(CONFIG, **changes), plot)
  return ' '.join(text.split())


def epsilon(text):
  return float(re.search(r'([0-9.e+]+) by PLD', text)[1])


def test_one_plan_is_told_in_words():
  text = run()
  assert 'one of 100,000 clients' in text and 'by RDP' in text


def test_several_are_a_table():
  text = run(noise_multiplier=[0.5, 1.0, 2.0], rounds=[500, 1_000])
  assert text.count('1,000 100,000') == 6
  assert '- ' in run(noise_multiplier=[1.0, 2.0], sampling='fixed')


@pytest.mark.parametrize('solve_for', privacy.SOLVABLE)
def test_what_is_found_meets_the_target(solve_for):
  text = run(target_epsilon=1.3, solve_for=solve_for)
  assert 1.2 < epsilon(text) <= 1.3
  assert f'{solve_for} ' in text and 'meets epsilon 1.3' in text


def test_a_cohort_keeps_the_noise_on_the_mean():
  text = run(target_epsilon=1.3, solve_for='cohort_size')
  size = int(
    re.search(r'cohort_size ([0-9,]+) meets', text)[1].replace(',', '')
  )
  noise = float(re.search(r'noise_multiplier is ([0-9.]+)\.', text)[1])
  assert noise / int(size) == pytest.approx(1.0 / 1_000, rel=1e-4)


def test_a_target_beyond_reach_is_an_error():
  with pytest.raises(errors.UserError, match='Nothing up to 100,000'):
    run(target_epsilon=0.01, solve_for='cohort_size')


def test_other_sizes_are_hypothetical():
  assert 'Hypothetical, with cohorts of 5,000' in run(
    hypothetical=(5_000, 500_000)
  )
  with pytest.raises(errors.UserError, match='`cohort_size=5`'):
    run(hypothetical=(5, 4))


@pytest.mark.parametrize(
  'changes', [dict(rounds=[10, 100, 1_000]), dict(target_epsilon=2.0)]
)
def test_a_grid_is_plotted(tmp_path, changes):
  path = tmp_path / 'new' / 'grid.png'
  run(path, population=[10**5, 10**6], **changes)
  assert path.read_bytes().startswith(b'\x89PNG')


def test_one_plan_is_no_plot(tmp_path):
  with pytest.raises(errors.UserError, match='list of values'):
    run(tmp_path / 'one.png')
