"""Programs: the federated program and its runtime."""
