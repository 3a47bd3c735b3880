"""Readers of corpora, and the table of them."""
