"""The embedded corpus: synthetic speakers who talk to a house and a phone."""
