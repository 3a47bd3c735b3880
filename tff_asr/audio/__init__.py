"""Audio: decoding, log-mel features and their augmentation."""
