"""Registers the kinds of encoders, one line for each."""

from tff_asr import registry
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
    UserError: If the kind lacks a part, or another kind has the same name.
  """
  registry.add_class(KINDS, config, 'kind of encoders', ('kind',))
