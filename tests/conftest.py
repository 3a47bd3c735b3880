"""The environment of all tests, before TensorFlow is imported."""

import os

# Bazel sets it, too: see .bazelrc.
os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')
