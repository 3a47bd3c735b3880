"""Accounting: epsilon, calibration and the ledger."""
