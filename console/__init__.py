"""What people see of the line in a browser."""
