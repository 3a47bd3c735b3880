"""Learning: client update, federated process, central training, evaluation."""
