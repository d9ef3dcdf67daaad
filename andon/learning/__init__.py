"""Learning from the line: versions of an expert, candidates from reviews, what is in force."""
