"""Models: transformer encoder, CTC loss and decoding, presets."""
