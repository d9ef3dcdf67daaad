"""A whole line on one machine: the stack, the processes, a plan of parts, the balance."""
