"""Corpora: readers, the client store, client datasets, cohort sampling."""
