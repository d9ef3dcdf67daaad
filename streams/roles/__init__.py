"""The Faust roles: inspect, classify, record. Agents move data; ``*_core`` modules decide."""
