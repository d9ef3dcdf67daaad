"""The function block in IEC 61131-3 Structured Text and in Siemens SCL, from the signal table."""

import re
from pathlib import Path
from typing import Final

from connectors.handshake.signals import Owner, Signal

_BLOCK: Final = Path(__file__).with_name("function_block.st")
_TYPES: Final = {
    "Boolean": "BOOL",
    "String": "STRING(80)",
    "Int32": "DINT",
    "UInt32": "UDINT",
    "UInt16": "UINT",
    "Float": "REAL",
    "DateTime": "LDT",
}
_DECLARED: Final = re.compile(r"^    (\w+) : .*;", re.MULTILINE)


def structured_text() -> str:
    """The structure of the signals and the function block, for CODESYS, TwinCAT and others.

    The time of a result is left out: few controllers have a type for it in common.
    """
    return f"{_structure()}\n{_BLOCK.read_text(encoding='utf-8')}"


def _structure() -> str:
    lines = ["TYPE ST_AndonSignals :", "STRUCT"]
    for signal in _held():
        side = "controller" if signal.owner is Owner.PLC else "gateway"
        kind = _TYPES[signal.data_type]
        lines.append(f"    {signal.wire_name} : {kind}; // {side}: {signal.meaning}")
    return "\n".join([*lines, "END_STRUCT", "END_TYPE", ""])


def _held() -> list[Signal]:
    return [signal for signal in Signal if signal.data_type != "DateTime"]


def siemens_scl() -> str:
    """The same as a source file of TIA Portal: data type, global data block ``Andon``, block."""
    members = _SCL_MEMBERS.sub(r"\1String[80]", "\n".join(_structure().splitlines()[2:-2]))
    data_type = f'TYPE "ST_AndonSignals"\nVERSION : 0.1\nSTRUCT\n{members}\nEND_STRUCT;\nEND_TYPE\n'
    head, body = _BLOCK.read_text(encoding="utf-8").split("END_VAR\n\n", 1)
    names = "|".join(_DECLARED.findall(head))
    local = re.compile(rf"(?<![.#\w\"])({names})\b(?!\s*:=[^;]*\))")
    lines = [
        line if line.startswith("//") else local.sub(r"#\1", line) for line in body.splitlines()
    ]
    head = head.replace("FUNCTION_BLOCK FB_Andon\n", "").replace("STRING(80)", "String[80]")
    head = head.replace(" : ST_AndonSignals;", ' : "ST_AndonSignals";')
    head = head.replace(" OF TON;", " OF TON_TIME;").replace(" : TON;", " : TON_TIME;")
    about, variables = head.split("VAR_INPUT\n", 1)
    return (
        f"{data_type}\nDATA_BLOCK \"Andon\"\n{{ S7_Optimized_Access := 'TRUE' }}\nVERSION : 0.1\n"
        f'NON_RETAIN\n"ST_AndonSignals"\nBEGIN\nEND_DATA_BLOCK\n\n'
        f"FUNCTION_BLOCK \"FB_Andon\"\n{{ S7_Optimized_Access := 'TRUE' }}\nVERSION : 0.1\n{about}"
        f"VAR_INPUT\n{variables}END_VAR\n\nBEGIN\n" + "\n".join(lines) + "\n"
    )


_SCL_MEMBERS: Final = re.compile(r"(: )STRING\(80\)")
