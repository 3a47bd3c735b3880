"""What tests of whole runs share: calls of `train`, and what they leave."""

import csv
import dataclasses
import gc
import json
import shutil

import pytest

from tests import plans
from tff_asr import checksums, errors
from tff_asr.commands import train


def changed(config, **changes):
  """The configuration with other settings, of its privacy too."""
  own = plans.flat_privacy(config.privacy).keys()
  privacy = {k: v for k, v in changes.items() if k in own}
  rest = {k: v for k, v in changes.items() if k not in own}
  return dataclasses.replace(
    config, privacy=plans.changed_privacy(config.privacy, **privacy), **rest
  )


def run(config, output_dir, **changes):
  config = changed(config, output_dir=output_dir, **changes)
  flags = {
    f.name: str(getattr(config, f.name)) for f in dataclasses.fields(config)
  }
  privacy = plans.flat_privacy(config.privacy)
  flags |= {name: str(value) for name, value in privacy.items()}
  del flags['privacy']
  return train.train(config, flags)


def copied(run_dir, output_dir):
  """Makes a copy of a run that can be gone on with; returns its folder."""
  shutil.copytree(run_dir, output_dir)
  flags = output_dir / 'flags.txt'
  text = flags.read_text().replace(str(run_dir), str(output_dir))
  checksums.write(flags, text)
  return output_dir


def rows(output_dir):
  """The figures of all rounds, as text, without the check sums of the rows."""
  with open(output_dir / 'metrics.csv', newline='') as file:
    found = list(csv.DictReader(file))
  for row in found:
    del row['check']
  return found


def summary_of(output_dir):
  return json.loads((output_dir / 'summary.json').read_text())


def refused(config, output_dir, message, **changes):
  """Checks that a run ends with an error; returns its message."""
  with pytest.raises(errors.UserError, match=message) as raised:
    run(config, output_dir, **changes)
  text = str(raised.value)
  del raised
  gc.collect()  # The lock of a run's folder goes with its object.
  return text
