"""Bringing up a product: pictures in, an expert trained and taught, a policy, and the line."""
