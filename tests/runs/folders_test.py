import pytest

from tff_asr import checksums, errors
from tff_asr.runs import folders

FLAGS = {'model': 'tiny', 'rounds': '3', 'note': 'a=b c'}
STORES = {'train': 'x'}


def test_flags_are_written_as_a_flagfile(tmp_path):
  folders.RunFolder(tmp_path / 'run', FLAGS, STORES)
  text = (tmp_path / 'run' / 'flags.txt').read_text()
  assert text == '--model=tiny\n--note=a=b c\n--rounds=3\n'


def test_the_same_flags_open_it_again_and_others_do_not(tmp_path):
  assert folders.RunFolder(tmp_path / 'run', FLAGS, STORES).is_new
  assert not folders.RunFolder(tmp_path / 'run', FLAGS, STORES).is_new
  with pytest.raises(errors.UserError, match='`model` was tiny, is small'):
    folders.RunFolder(tmp_path / 'run', FLAGS | {'model': 'small'}, STORES)
  with pytest.raises(errors.UserError, match='`note` was a=b c, is absent'):
    fewer = {n: v for n, v in FLAGS.items() if n != 'note'}
    folders.RunFolder(tmp_path / 'run', fewer, STORES)
  with pytest.raises(errors.UserError, match='`new` was absent, is 1'):
    folders.RunFolder(tmp_path / 'run', FLAGS | {'new': '1'}, STORES)


def test_some_flags_may_change_and_are_recorded(tmp_path):
  folders.RunFolder(tmp_path / 'run', FLAGS, STORES)
  more = FLAGS | {'rounds': '9'}
  folders.RunFolder(tmp_path / 'run', more, STORES, frozenset(['rounds']))
  assert '--rounds=9' in (tmp_path / 'run' / 'flags.txt').read_text()


def test_what_is_no_run_is_left_alone(tmp_path):
  (tmp_path / 'thesis.txt').write_text('precious')
  for path in tmp_path, tmp_path / 'thesis.txt':
    with pytest.raises(errors.UserError, match='not the folder of a run'):
      folders.RunFolder(path, FLAGS, STORES)
  assert [p.name for p in tmp_path.iterdir()] == ['thesis.txt']


def test_a_check_of_a_folder_changes_nothing(tmp_path):
  folders.check(tmp_path / 'new', FLAGS, frozenset())
  assert not (tmp_path / 'new').exists()
  folders.RunFolder(tmp_path / 'run', FLAGS, STORES)
  folders.check(
    tmp_path / 'run', FLAGS | {'rounds': '9'}, frozenset(['rounds'])
  )
  with pytest.raises(errors.UserError, match='`rounds` was 3, is 9'):
    folders.check(tmp_path / 'run', FLAGS | {'rounds': '9'}, frozenset())
  assert folders.read_flags(tmp_path / 'run' / 'flags.txt') == FLAGS


def test_other_data_under_the_same_name_is_refused(tmp_path):
  folders.RunFolder(tmp_path / 'run', FLAGS, STORES)
  with pytest.raises(errors.UserError, match='store has changed'):
    folders.RunFolder(tmp_path / 'run', FLAGS, {'train': 'y'})


def test_names_of_a_store_are_recorded_and_may_be_more(tmp_path):
  folders.RunFolder(tmp_path / 'run', FLAGS, STORES)
  checksums.write(tmp_path / 'run' / 'stores.json', '{"train": "x"}')
  assert folders.read_stores(tmp_path / 'run') == (STORES, ())
  for names in ('one',), ('one', 'two'):
    folders.RunFolder(tmp_path / 'run', FLAGS, STORES, store_names=names)
    assert folders.read_stores(tmp_path / 'run') == (STORES, names)
  assert folders.read_stores(tmp_path / 'nowhere') == ({}, ())


@pytest.mark.parametrize('damage', ['', '[3]', '{"train": 3}', '{"names": 3}'])
def test_a_damaged_record_of_stores_is_an_error(tmp_path, damage):
  folders.RunFolder(tmp_path / 'run', FLAGS, STORES)
  checksums.write(tmp_path / 'run' / 'stores.json', damage)
  with pytest.raises(errors.UserError, match='damaged'):
    folders.RunFolder(tmp_path / 'run', FLAGS, STORES)


def test_two_calls_cannot_work_in_one_folder(tmp_path):
  first = folders.RunFolder(tmp_path / 'run', FLAGS, STORES)
  with pytest.raises(errors.UserError, match='Another command'):
    folders.RunFolder(tmp_path / 'run', FLAGS, STORES)
  del first


def test_a_run_goes_on_where_it_was_begun(tmp_path):
  flags = FLAGS | {'output_dir': str(tmp_path / 'run')}
  folders.RunFolder(tmp_path / 'run', flags, STORES)
  (tmp_path / 'run').rename(tmp_path / 'moved')
  moved = flags | {'output_dir': str(tmp_path / 'moved')}
  with pytest.raises(errors.UserError, match='move it back'):
    folders.RunFolder(tmp_path / 'moved', moved, STORES)
  assert folders.is_run(tmp_path / 'moved', tmp_path / 'moved/flags.txt')
  assert not folders.is_run(tmp_path / 'moved', tmp_path / 'flags.txt')


def test_flags_that_earlier_releases_did_not_have_are_those_of_their_runs(
  tmp_path,
):
  """A run without a record of its mechanism had the Gaussian one."""
  folders.RunFolder(tmp_path / 'run', FLAGS, STORES)
  with pytest.raises(
    errors.UserError, match='`mechanism` was gaussian, is new'
  ):
    folders.RunFolder(tmp_path / 'run', FLAGS | {'mechanism': 'new'}, STORES)
  now = FLAGS | {'mechanism': 'gaussian'}
  folders.RunFolder(tmp_path / 'run', now, STORES)
  assert folders.read_flags(tmp_path / 'run' / 'flags.txt') == now
