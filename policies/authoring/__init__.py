"""What helps to write a policy: reading a file, checking it, and its schema."""
