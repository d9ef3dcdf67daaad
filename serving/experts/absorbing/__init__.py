"""Absorbing: an expert accepts a change of light or design from a few confirmed good parts."""
