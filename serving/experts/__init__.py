"""Vision experts: trained on normal images alone, they score an image and outline what is odd.

Needs torch and numpy only; OpenCV, Pillow, OpenVINO and timm are imported where they are used.
"""
