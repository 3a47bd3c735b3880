"""Flags of the corpus readers that the chosen reader does not have."""

import re

from absl import flags
from absl.testing import flagsaver
import pytest

from pipelines import prepare, reader_flags
from tff_asr import errors
from tff_asr.corpora.readers import by_name, registration


def checked(source, *arguments):
  with flagsaver.flagsaver():
    flags.FLAGS(['prepare', '--output=s', *arguments])
    reader_flags.check(source, by_name.READERS, prepare._DEFINED)


def arguments_of(setting):
  """The setting as a flag, with its default value and with another."""
  kind = registration.Kind
  other = {kind.INTEGER: '9', kind.NUMBER: '9.0', kind.SWITCH: 'true'}
  default = setting.default
  if isinstance(default, tuple | list):
    default = ','.join(map(str, default))
  for value in '' if default is None else default, other.get(setting.kind, 'x'):
    yield f'--{setting.name}={value}'


@pytest.mark.parametrize('source', by_name.READERS)
@pytest.mark.parametrize(
  'setting', by_name.settings(), ids=lambda setting: setting.name
)
def test_a_reader_takes_its_own_flags_only(source, setting):
  own = {s.name for s in by_name.READERS[source].settings} | {'seed'}
  others = [
    name
    for name, reader in by_name.READERS.items()
    if setting.name in {s.name for s in reader.settings}
  ]
  checked(source)
  for argument in arguments_of(setting):
    if setting.name in own:
      checked(source, argument)
      continue
    with pytest.raises(errors.UserError, match=f'--{setting.name} is') as found:
      checked(source, argument)
    text = str(found.value)
    assert '\n' not in text and f'--source={source}' in text
    assert all(re.search(rf'\b{name}\b', text) for name in others)
