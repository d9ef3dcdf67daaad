"""``python -m tests.interop.plc node-opcua 1000``: a gateway on a controller that others wrote.

``--faults`` adds five cuts of the network, three restarts and a download that gives the
namespace another index. Prints one JSON object; exit code 1 where a part had no outcome, two
results or another part's.
"""

import argparse
import asyncio
import json
import logging
import sys
import tempfile
from pathlib import Path

import structlog

from tests.interop.plc.line import run
from tests.interop.plc.programs import COMMANDS


def main() -> int:
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("kind", choices=COMMANDS)
    words.add_argument("triggers", type=int, nargs="?", default=50)
    words.add_argument("--faults", action="store_true")
    asked = words.parse_args()
    logging.disable(logging.CRITICAL)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    with tempfile.TemporaryDirectory() as folder:
        found = asyncio.run(run(asked.kind, Path(folder), asked.triggers, asked.faults))
    sys.stdout.write(json.dumps(found) + "\n")
    return int(bool(found["two_results"] or found["another_part"] or found["without_outcome"]))


if __name__ == "__main__":
    sys.exit(main())
