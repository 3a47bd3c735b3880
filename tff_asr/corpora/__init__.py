"""Corpora: client stores, their preparation, client datasets."""

from tff_asr.corpora.readers.by_name import register as register_reader
from tff_asr.corpora.readers.registration import Kind as SettingKind
from tff_asr.corpora.readers.registration import Reader, Setting
from tff_asr.corpora.readers.sources import Source
from tff_asr.corpora.utterance import Recording, Skipped, Utterance

__all__ = [
  'Reader',
  'Recording',
  'Setting',
  'SettingKind',
  'Skipped',
  'Source',
  'Utterance',
  'register_reader',
]
