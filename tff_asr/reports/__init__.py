"""Writes reports of runs: pages, plots, tables and model cards."""
