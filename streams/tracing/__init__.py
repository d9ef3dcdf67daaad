"""Traces: a part's way across the processes, as spans of one trace (docs/tracing.md)."""
