"""DDAD: anomalies as what a conditioned denoising diffusion model does not paint back.

Mousakhan, Brox & Tayyub 2023, "Anomaly Detection with Conditioned Denoising Diffusion Models"
(arXiv 2305.15956). What matches the published recipe and what differs: ``docs/ddad.md``.
"""
