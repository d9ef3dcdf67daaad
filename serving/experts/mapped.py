"""Tensors of a safetensors file where they lie: no copy, and no more memory than the file's pages.

The pages belong to the kernel's cache, so that replicas of one host share them, and a product that
comes back finds them there.
"""

import json
from pathlib import Path
from typing import Final

import numpy as np

from serving.bundles import map_file
from serving.experts.model import Arrays

_TYPES: Final = {
    "F64": np.float64,
    "F32": np.float32,
    "F16": np.float16,
    "I64": np.int64,
    "I32": np.int32,
    "U8": np.uint8,
    "BOOL": np.bool_,
}


def map_tensors(path: Path, digest: str) -> Arrays:
    """Tensors by name; what is written to one changes no file.

    Raises:
        BundleError: the file is missing, cannot be read, or was altered.
    """
    body = map_file(path, digest)
    start = 8 + int.from_bytes(body[:8], "little")
    found: Arrays = {}
    for name, entry in json.loads(body[8:start]).items():
        if name == "__metadata__":
            continue
        kind, (begin, end) = np.dtype(_TYPES[entry["dtype"]]), entry["data_offsets"]
        count = (end - begin) // kind.itemsize
        values = np.frombuffer(body, kind, count, start + begin)
        found[name] = values.reshape(entry["shape"])
    return found
