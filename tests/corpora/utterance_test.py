"""Items of a corpus reader are checked before a store takes them."""

import numpy as np
import pytest

from tests import stores
from tff_asr import errors
from tff_asr.corpora import utterance

SILENCE = np.zeros(16_000, np.int16)


@pytest.mark.parametrize(
  'audio',
  [
    SILENCE.astype(np.float32),
    SILENCE.astype(np.int32),
    SILENCE.astype(np.uint8),
    np.stack([SILENCE, SILENCE], axis=1),
    SILENCE.tolist(),
    SILENCE.tobytes(),
    None,
  ],
)
def test_audio_that_would_be_stored_as_other_audio_is_refused(audio):
  with pytest.raises(errors.UserError, match=r"'u1' audio of type .* int16"):
    utterance.Utterance('somebody', 'u1', audio, 'one')


@pytest.mark.parametrize('name', [7, None, b'name', ('a', 'b')])
def test_names_are_strings(name):
  for given in (name, 'u1'), ('somebody', name):
    with pytest.raises(errors.UserError, match='must be a string'):
      utterance.Utterance(*given, SILENCE, 'one')
    with pytest.raises(errors.UserError, match='must be a string'):
      utterance.Skipped(*given, 'lost')
  with pytest.raises(errors.UserError, match='the text'):
    utterance.Utterance('somebody', 'u1', SILENCE, name)


def test_a_text_has_single_spaces_between_words():
  found = utterance.Utterance('somebody', 'u1', SILENCE, ' one \t two\n')
  assert found.text == 'one two'


@pytest.mark.parametrize('item', [('a', 'u', SILENCE, 'one'), None, 'one'])
def test_items_of_another_kind_are_refused(tmp_path, item):
  items = [stores.make('a', '1'), item]
  with pytest.raises(errors.UserError, match=r'as item 2, which must be'):
    stores.write(tmp_path / 'store', items)
