"""Benchmarking harness for image generators and classifiers in dermatology."""

__version__ = "0.1.0"
