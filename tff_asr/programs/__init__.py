"""Programs: preparing stores, training, evaluation, reports."""
