"""The command line, the settings and the one composition root."""

__version__ = "0.3.0.dev0"
