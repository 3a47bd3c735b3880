"""Execution contexts for TFF; nothing of speech is known here."""
