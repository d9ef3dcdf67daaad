"""Heads: each sees what the others cannot. A head is fitted on normals and runs in one graph."""
