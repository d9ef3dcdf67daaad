"""The protocols of the VELM paper: pipeline, ablation, few shots, released answers."""
