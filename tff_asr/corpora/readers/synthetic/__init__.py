"""Synthetic speakers, who give commands to a house and a phone."""
