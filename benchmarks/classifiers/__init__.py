"""Stages of the classifier benchmarks."""
