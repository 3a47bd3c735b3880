"""The kinds of encoders, one line for each."""

from tff_asr.models import encoder, transformer

KINDS: dict[str, type[encoder.EncoderConfig]] = {
  config.kind: config
  for config in (
    transformer.TransformerConfig,
    # Another encoder is one more line here.
  )
}
