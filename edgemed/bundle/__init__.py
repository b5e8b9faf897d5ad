"""Signed bundles: one archive that ties model, preprocessing, decision and golden vectors together."""
