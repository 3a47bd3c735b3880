import pytest

from pipelines import flagfiles
from tff_asr import errors


@pytest.fixture
def folder(tmp_path):
  files = {
    'a.flags': '# A comment.\n--one=1\n--flagfile=in/b.flags\n--four=4\n',
    'in/b.flags': '\n  --two=2\n--flagfile=c.flags\n// Another comment.\n',
    'in/c.flags': '--three=3\n--flagfile=../in/d.flags\n',
    'in/d.flags': '',
    'self.flags': '--flagfile=in/back.flags\n',
    'in/back.flags': '--flagfile=../self.flags\n',
    'lost.flags': '--flagfile=in/nowhere.flags\n',
  }
  (tmp_path / 'in').mkdir()
  for name, text in files.items():
    (tmp_path / name).write_text(text)
  (tmp_path / 'binary.flags').write_bytes(b'\xff\xfe\x00')
  return tmp_path


def expanded(folder, *arguments):
  return list(flagfiles.expanded(arguments, folder))


def test_a_flagfile_finds_others_from_where_it_is_itself(
  folder, tmp_path_factory, monkeypatch
):
  monkeypatch.chdir(tmp_path_factory.mktemp('elsewhere'))
  expected = ['x', '--one=1', '--two=2', '--three=3', '--four=4', '--five=5']
  for form in ['--flagfile=a.flags'], ['-flagfile', f'{folder}/a.flags']:
    assert expanded(folder, 'x', *form, '--five=5') == expected


def test_one_may_be_included_twice(folder):
  both = expanded(folder, '--flagfile=in/c.flags', '--flagfile=in/c.flags')
  assert both == ['--three=3'] * 2


def test_after_two_dashes_there_are_no_flags(folder):
  arguments = ['--', '--flagfile=a.flags']
  assert expanded(folder, *arguments) == arguments


@pytest.mark.parametrize(
  ('argument', 'message'),
  [
    ('--flagfile=no.flags', r'/no\.flags cannot be read: No such file'),
    ('--flagfile=in', r'/in cannot be read: Is a directory'),
    ('--flagfile=binary.flags', r'it is no text'),
    ('--flagfile=lost.flags', r'nowhere\.flags, which \S+lost\.flags includes'),
    (
      '--flagfile=self.flags',
      r'self\.flags, which \S+back\.flags includes, inc',
    ),
    ('--flagfile', 'without a path'),
  ],
)
def test_what_cannot_be_included_is_named(folder, argument, message):
  with pytest.raises(errors.UserError, match=message) as raised:
    expanded(folder, argument)
  assert '\n' not in str(raised.value)
