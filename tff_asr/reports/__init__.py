"""Reports: pages, plots, tables and model cards of runs."""
