"""Cameras behind one port (``streams.ports.Camera``): folder, list, synthetic, OpenCV."""

from connectors.cameras.factory import open_camera
from connectors.cameras.folder import FolderCamera
from connectors.cameras.opencv import OpenCVCamera
from connectors.cameras.synthetic import SyntheticCamera

__all__ = ["FolderCamera", "OpenCVCamera", "SyntheticCamera", "open_camera"]
