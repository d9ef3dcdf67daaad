"""The vocabulary of the line: events, topics, codes and ports. Pure: imports nothing of ours."""
