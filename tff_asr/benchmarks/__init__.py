"""Benchmarks: figures of speed and memory."""
