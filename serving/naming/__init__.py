"""Naming an anomaly: prototypes, a multimodal language model, or a cascade of both."""
