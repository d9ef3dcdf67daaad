"""Drift: whether the frames of a station still come from where they came from."""
