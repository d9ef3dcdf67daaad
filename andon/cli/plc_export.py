"""``andon plc export``: ready code and the node set for the controller's side."""

from pathlib import Path
from typing import Annotated

import typer

from andon.cli.options import Json
from andon.cli.printing import plain, print_found


def export(
    out: Annotated[Path, typer.Argument(help="Folder for the files; made when absent.")],
    as_json: Json = False,
) -> None:
    """Write the node set (NodeSet2 XML) and a function block (Structured Text, Siemens SCL)."""
    from connectors.controller_code import node_set_xml, siemens_scl, structured_text

    texts = {
        "andon.NodeSet2.xml": node_set_xml(),
        "FB_Andon.st": structured_text(),
        "FB_Andon.scl": siemens_scl(),
    }
    out.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        (out / name).write_text(text, encoding="utf-8")
    paths = [str(out / name) for name in texts]
    print_found({"files": paths}, (plain(path) for path in paths), as_json)
