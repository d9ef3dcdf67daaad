"""Twins of network cameras that paint the time of each exposure into its picture."""
