"""The policy language: from a class and what was measured to a severity and an action."""
