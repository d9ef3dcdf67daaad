"""What the project needs from a machine: a Python interpreter, and the local servers."""
