"""Serving: exported models for TF Serving and phones, and their clients."""
