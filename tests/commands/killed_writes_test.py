"""A run that is killed at any write leaves nothing that is refused."""

import shutil

from tests import kills
from tests.kills import without_sync  # noqa: F401
from tests.runs import runs
from tff_asr import checksums
from tff_asr.models import model_folder, presets
from tff_asr.reports import model_card, run_page, run_report
from tff_asr.runs import lineage, records
from tff_asr.text import vocabularies

_ENGLISH = vocabularies.CharacterVocabulary()


def test_every_file_is_read_wherever_a_run_was_killed(tmp_path, monkeypatch):
  """And the same call goes on, to a run that is finished."""
  monkeypatch.setattr(run_page, 'page_of', lambda *_, **__: '')
  monkeypatch.setattr(model_card, 'card_of', lambda _: 'card')
  sizes = dict(blocks=1, width=16, mlp_width=32, convolutions=1)
  monkeypatch.setitem(presets.PRESETS, 'least', presets.PRESETS['tiny'] | sizes)
  encoder = presets.preset('least', _ENGLISH.size).build()
  trained_on = lineage.trainings(['store-1'], ['ann'])
  path = tmp_path / 'run'

  def body():
    folder, promised = runs.begin(path, None, rounds=0)
    checksums.remove(folder.summary)
    lineage.write(folder.model, trained_on)
    model_folder.save(folder.model, encoder, _ENGLISH)
    run_report.write(folder, promised, 0, runs.TRANSCRIPTS, 1.0)

  points = 0
  for number in kills.at_every_point(body):
    points = number
    for call in range(2):
      if (path / 'flags.txt').exists():
        run = records.read(path)
        assert not call or (run.is_finished and run.transcripts)
      model = path / 'model'
      if model_folder.is_complete(model):
        assert lineage.read(model) == trained_on
        model_folder.read_config(model)
        for name in 'model.weights.h5', 'vocabulary.json':
          checksums.check(model / name)
      if not call:
        body()
    # In turn, the next is killed in a new folder, or going on in this one.
    if number % 2:
      shutil.rmtree(path)
  assert points > 40
