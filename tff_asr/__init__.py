"""Differentially private federated learning of speech recognition on TFF."""
