"""Serving: what leaves the lab for TF Serving, phones and their clients."""
