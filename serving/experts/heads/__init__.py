"""Heads: each sees what the others cannot. A head is fitted on normals and runs in one graph."""

from serving.experts.heads.base import FitInput, Head
from serving.experts.heads.cells import CellBank, CellGaussian, SharpCells
from serving.experts.heads.padim import Padim
from serving.experts.heads.patchcore import PatchCore
from serving.experts.heads.pooled import Pooled
from serving.experts.heads.texture import Texture

HEADS: dict[str, type[Head]] = {
    kind.kind: kind
    for kind in (PatchCore, CellBank, CellGaussian, SharpCells, Padim, Pooled, Texture)
}
"""Every head by its name in artifacts."""

__all__ = ["HEADS", "FitInput", "Head"]
