"""Data sets of labelled photographs: folders, published sets and their refinements."""
