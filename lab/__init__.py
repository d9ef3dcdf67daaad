"""The laboratory: what measures, demonstrates and imitates a line, and what no line imports."""
