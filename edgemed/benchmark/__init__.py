"""Latency on a device: measured, held against its budget, compared, and predicted where no device is at hand."""
