"""Reviewing: who has which part, what is shown of it, and what becomes of a verdict."""
