"""Corpora: client stores, their preparation, client datasets."""
