"""Flags of the privacy plan offer the schemes and mechanisms of the tables."""

import os
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[2]

# A process of its own: flags are made of the tables at import.
_OWN = """
import dataclasses
import sys

from tff_asr.privacy.mechanism import gaussian, mechanisms
from tff_asr.privacy.sampling import schemes, turns


@dataclasses.dataclass(frozen=True, kw_only=True)
class Own(turns.Turns):
  name = 'own'
  help = 'clients take turns in an order of their own'


@dataclasses.dataclass(frozen=True, kw_only=True)
class Loud(gaussian.Gaussian):
  name = 'loud'
  help = 'noise that can be heard'

  def noise_in_words(self):
    return 'loud, ' + super().noise_in_words()


schemes.SCHEMES[Own.name] = Own
mechanisms.MECHANISMS[Loud.name] = Loud
from pipelines import command_line, {command}

command_line.run({command}.main)
"""


def call(command, *flags):
  done = subprocess.run(
    [sys.executable, '-c', _OWN.format(command=command), *flags],
    env={**os.environ, 'PYTHONPATH': os.pathsep.join([str(ROOT), *sys.path])},
    capture_output=True,
    text=True,
  )
  return ' '.join(done.stdout.split()), ' '.join(done.stderr.split())


@pytest.mark.parametrize('command', ['privacy', 'train'])
def test_help_explains_all_schemes_and_mechanisms(command):
  out, _ = call(command, '--helpfull')
  assert 'own: clients take turns in an order of their own.' in out
  assert 'loud: noise that can be heard.' in out
  assert 'poisson: each client independently' in out
  assert '<poisson|fixed|none|own>' in out and '<gaussian|loud>' in out


def test_a_plan_is_computed_with_them():
  out, err = call(
    *('privacy', '--sampling=own', '--mechanism=loud'),
    *('--noise_multiplier=1', '--cohort_size=10', '--population=100'),
  )
  assert 'clients take turns, each in one of 10 rounds' in out, err
  assert 'loud, discrete Gaussian, standard deviation 1 x' in out
  out, err = call('privacy', '--sampling=other')
  assert not out and 'poisson|fixed|none|own' in err
