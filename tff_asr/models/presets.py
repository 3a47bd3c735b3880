"""Defines presets: encoders by name.

`paper` and its variants are the encoders of Pelikan et al. (2025, arXiv
2310.00098, appendix F and table 21).  `tiny` and `small` are for hours of
speech, not for thousands of hours.  Both have convolutions before the blocks
and weaker regularisation.
"""

from tff_asr import errors, registry
from tff_asr.audio import spec_augment
from tff_asr.models import encoder, kinds


def _paper(
  blocks: int = 36, width: int = 768, layer_drop: float = 0.1
) -> dict[str, object]:
  return dict(
    kind='transformer',
    blocks=blocks,
    width=width,
    heads=4,
    mlp_width=4 * width,
    dropout=0.3,
    layer_drop=layer_drop,
    augmentation=spec_augment.SpecAugment(),
    max_shift_seconds=30.0,
  )


# A preset contains the kind of its encoder and the settings of this kind.
PRESETS: dict[str, dict[str, object]] = {
  'tiny': dict(
    kind='transformer',
    blocks=2,
    width=64,
    heads=2,
    mlp_width=256,
    convolutions=2,
    dropout=0.1,
    augmentation=spec_augment.SpecAugment(
      bands=1, band_width=15, spans=2, span_frames=15
    ),
  ),
  'small': dict(
    kind='transformer',
    blocks=4,
    width=128,
    heads=4,
    mlp_width=512,
    convolutions=3,
    dropout=0.15,
    augmentation=spec_augment.SpecAugment(
      bands=2, band_width=15, spans=4, span_frames=20
    ),
  ),
  'paper': _paper(layer_drop=0.3),
  'paper-narrow': _paper(width=512),
  'paper-wide': _paper(width=1024),
  'paper-shallow': _paper(blocks=16),
  'paper-deep': _paper(blocks=72),
}


def register(name: str, **settings: object) -> None:
  """Adds a preset to `PRESETS`.

  Args:
    name: Name of the preset.
    **settings: `kind`, a key of `kinds.KINDS`, and the settings of this kind,
      except `vocabulary_size`.

  Raises:
    UserError: If another preset has the same name, or if no such kind exists.
  """
  errors.require(
    settings.get('kind') in kinds.KINDS,
    f'The preset {name!r} needs the setting "kind": one of'
    f' {tuple(kinds.KINDS)}.',
  )
  registry.add(PRESETS, name, settings, 'preset')


def preset(name: str, vocabulary_size: int) -> encoder.EncoderConfig:
  """Returns the settings of a preset's encoder, for a size of vocabulary.

  Raises:
    UserError: If no preset has that name.
  """
  if name not in PRESETS:
    raise errors.UserError(
      f'There is no model {name!r}: choose one of {", ".join(PRESETS)}.'
    )
  settings = dict(PRESETS[name])
  config = kinds.KINDS[settings.pop('kind')]
  return config(vocabulary_size=vocabulary_size, **settings)
