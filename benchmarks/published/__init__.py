"""Networks that others have published latencies of, laid out from their papers: what a prediction is fitted to."""
