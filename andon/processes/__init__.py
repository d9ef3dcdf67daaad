"""One module per process of the line: builds its adapters and runs it."""
