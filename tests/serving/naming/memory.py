"""``python -m tests.serving.naming.memory BUNDLE``: what a process holds that names anomalies.

``BUNDLE`` is the folder of an exemplar bundle, as ``.andon/demo/exemplars/PRODUCT/DIGEST``. Set the
variables of ``infra/serve.yaml`` as a replica has them, or the figures are of another malloc.
"""

import json
import sys
import time
from pathlib import Path

from serving.memory import give_back_memory
from serving.naming.exemplars import load_bundle
from serving.naming.prototypes import Prototypes


def measure(bundle: Path) -> dict[str, float | bool]:
    """MB held once the bundle is ready, MB at most on the way there, and seconds of CPU."""
    Prototypes.build(load_bundle(bundle))
    give_back_memory()
    status = Path("/proc/self/status").read_text()
    held, peak = (int(status.split(f"{name}:")[1].split()[0]) / 1e3 for name in ("VmRSS", "VmHWM"))
    return {
        "held_mb": round(held),
        "peak_mb": round(peak),
        "cpu_s": round(time.process_time(), 1),
        "torch": "torch" in sys.modules,
    }


if __name__ == "__main__":
    sys.stdout.write(json.dumps(measure(Path(sys.argv[1]))) + "\n")
