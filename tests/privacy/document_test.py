"""docs/privacy.md says what the accountants say."""

import pathlib
import re

import pytest

from tests.privacy.accounting import accountants_test

DOCUMENT = pathlib.Path(__file__).parents[2] / 'docs' / 'privacy.md'
ROWS = re.findall(
  r'^\| ([\d.]+)' + 3 * r' \| ([\d,]+)' + 3 * r' \| (.*)' + r' \|$',
  DOCUMENT.read_text(),
  re.MULTILINE,
)


def test_every_row_of_the_paper_is_there_in_order():
  assert len(ROWS) == len(accountants_test.PAPER)


@pytest.mark.parametrize(
  ('shown', 'row'),
  list(zip(ROWS, accountants_test.PAPER, strict=False)),
  ids=lambda value: '',
)
def test_a_row_of_the_table(shown, row):
  plan = accountants_test.of_row(row)
  epsilons = plan.epsilons()
  slip = ' (slip)' if row['slip'] == 'yes' else ''
  assert shown == (
    row['noise_multiplier'],
    f'{plan.cohort_size:,}',
    f'{plan.population:,}',
    f'{plan.rounds:,}',
    row['printed'] + slip,
    *(
      '-' if value is None else f'{value:.3g}'
      for value in (epsilons.rdp, epsilons.pld)
    ),
  )
