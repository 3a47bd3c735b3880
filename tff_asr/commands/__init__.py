"""Implements the commands of `pipelines`, one module for each command."""
