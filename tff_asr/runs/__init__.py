"""Runs: the files of a run, and their records."""
