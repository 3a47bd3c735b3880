"""Registers the kinds of encoders, one line for each."""

from tff_asr import errors
from tff_asr.models import encoder, transformer

KINDS: dict[str, type[encoder.EncoderConfig]] = {
  config.kind: config
  for config in (
    transformer.TransformerConfig,
    # Another encoder is one more line here.
  )
}


def register(config: type[encoder.EncoderConfig]) -> None:
  """Adds a kind of encoders to `KINDS` under the name `config.kind`.

  Raises:
    UserError: If another kind has the same name.
  """
  registered = KINDS.setdefault(config.kind, config)
  errors.require(
    registered is config,
    f'There is a kind of encoders {config.kind!r} already: choose another'
    ' name.',
  )
