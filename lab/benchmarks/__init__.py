"""The benchmarks: one module per figure of ``andon benchmark``."""
