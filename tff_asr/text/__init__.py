"""Text: normalisation, vocabularies and n-gram language models."""
