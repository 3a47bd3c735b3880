"""Text: normalisation and vocabularies."""
