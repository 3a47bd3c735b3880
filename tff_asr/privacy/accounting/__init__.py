"""Accounting: epsilon, calibration of the noise, and the ledger."""
