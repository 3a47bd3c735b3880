"""Runs: the files of a run, and the records in them."""
