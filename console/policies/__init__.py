"""What the policy pages are made of: which policies there are, what a change would do, requests."""
