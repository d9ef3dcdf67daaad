"""A second, slow evaluator of policies, written from the guide and sharing no code with the first.

It reads the YAML as plain data, turns a condition into a Python expression and walks the zones'
polygons point by point. And the means to make recorded decisions without the line.
"""

import random
import re
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import numpy as np

from streams.codes import Action, DecisionSource, Evaluation, ReasonCode, Severity
from streams.events import Blob, Box, Classification, Decision, Inspection, Region
from streams.regions import encode_mask

Data = dict[str, Any]
SIDE = 16
"""Masks of the corpus have SIDE x SIDE cells."""


def naive(policy: Data, facts: Data) -> Data:
    """Action, severity, class, class number, reason code and rule of one situation."""
    fallbacks = policy.get("fallbacks", {})
    unsure = fallbacks.get("unsure", {})
    numbers = {name: n for n, name in enumerate(sorted(policy["classes"]))}

    def fall(kind: str, code: str, name: str = "unknown") -> Data:
        action = unsure.get("action", "hold") if kind == "unsure" else fallbacks.get(kind, "hold")
        number = numbers.get(name, -1)
        return answer(
            action, "unknown", name, number, facts.get("code") or code, f"fallback:{kind}"
        )

    if facts["fallback"]:
        return fall(facts["fallback"], _CODES[facts["fallback"]])
    if facts["class"] is None:
        return answer("pass", "normal", "normal", -1, "NORMAL", "normal")
    name = facts["class"]
    if name not in policy["classes"] and name not in ("normal", "unknown"):
        return fall("unknown", "UNKNOWN_CLASS")
    if name != "unknown" and facts["confidence"] < unsure.get("below", 0):
        return fall("unsure", "UNSURE", name)
    entry = policy["classes"].get(name)
    severity = entry["severity"] if entry else {"normal": "normal", "unknown": "unknown"}[name]
    for rule in policy.get("rules", []):
        if holds(rule["when"], measured(policy, facts)):
            return answer(
                rule["action"],
                rule.get("severity", severity),
                name,
                numbers.get(name, -1),
                "RULE",
                f"rule:{rule['name']}",
            )
    if name == "unknown":
        return fall("unknown", "UNKNOWN_CLASS")
    action = entry["action"] if entry else policy.get("normal", {}).get("false_alarm", "pass")
    return answer(action, severity, name, numbers.get(name, -1), "CLASS", f"class:{name}")


_CODES = {
    "unknown": "UNKNOWN_CLASS",
    "unsure": "UNSURE",
    "late": "LATE",
    "expert_unavailable": "EXPERT_UNAVAILABLE",
    "no_decision": "NO_DECISION",
}


def answer(*fields: Any) -> Data:
    names = ("action", "severity", "class_name", "class_id", "reason_code", "rule")
    return dict(zip(names, fields, strict=True))


def holds(condition: str, values: Data) -> bool:
    """The condition as a Python expression."""
    text = condition.replace("&&", " and ").replace("||", " or ")
    text = re.sub(r"!(?!=)", " not ", text)
    text = re.sub(r"(\w+)\.startsWith\(", r"\1.startswith(", text)
    text = re.sub(r"(\w+)\.endsWith\(", r"\1.endswith(", text)
    text = re.sub(r"(\w+)\.contains\((.*?)\)", r"(\2 in \1)", text)
    text = re.sub(r"\bclass\b", "class_", text)
    text = re.sub(r"\btrue\b", "True", re.sub(r"\bfalse\b", "False", text))
    return bool(eval(text, {"__builtins__": {}}, {**values, "class_": values["class"]}))


def measured(policy: Data, facts: Data) -> Data:
    scale = policy.get("mm_per_px", {})
    mm = scale.get(facts["station"], scale.get("default", 0))
    local = facts["captured_at"].astimezone(ZoneInfo(policy.get("timezone", "UTC")))
    clock = f"{local:%H:%M}"
    shift = ""
    for name in sorted(policy.get("shifts", {})):
        start, end = (policy["shifts"][name][key] for key in ("start", "end"))
        inside = start <= clock < end if start < end else clock >= start or clock < end
        if inside:
            shift = name
            break
    return {
        "class": facts["class"],
        "confidence": facts["confidence"],
        "score": facts["score"],
        "p_value": facts["p_value"],
        "area_px": facts["area_px"],
        "area_mm2": facts["area_px"] * mm * mm,
        "longest_px": facts["longest_px"],
        "longest_mm": facts["longest_px"] * mm,
        "count": facts["count"],
        "zone": zone_of(policy, facts),
        "station": facts["station"],
        "lot": facts["lot"],
        "shift": shift,
    }


def zone_of(policy: Data, facts: Data) -> str:
    """The zone by testing 5 x 5 points of every cell; the corpus' zones run along cell borders."""
    for zone in policy.get("zones", []):
        if zone.get("stations") and facts["station"] not in zone["stations"]:
            continue
        for row, column in facts["cells"]:
            for dy in (0.1, 0.3, 0.5, 0.7, 0.9):
                for dx in (0.1, 0.3, 0.5, 0.7, 0.9):
                    point = ((column + dx) / SIDE, (row + dy) / SIDE)
                    if inside(point, zone["polygon"]):
                        return str(zone["name"])
    return ""


def inside(point: tuple[float, float], polygon: list[list[float]]) -> bool:
    x, y = point
    odd = False
    for (x0, y0), (x1, y1) in zip(polygon, polygon[1:] + polygon[:1], strict=True):
        if (y0 > y) != (y1 > y) and x < (x1 - x0) * (y - y0) / (y1 - y0) + x0:
            odd = not odd
    return odd


# --- recorded decisions -----------------------------------------------------------------------

BEGIN = datetime(2026, 11, 2, tzinfo=UTC)


def some_facts(chance: random.Random, policy: Data) -> Data:
    """One situation, with every kind of answer and of failure among them."""
    kind = chance.choices(("normal", "classified", "fallback"), (0.3, 0.5, 0.2))[0]
    names = [*policy["classes"], "normal", "unknown", "dent"]
    rows, columns = chance.randrange(1, 4), chance.randrange(1, 4)
    top, left = chance.randrange(SIDE - rows), chance.randrange(SIDE - columns)
    found = kind == "classified"
    return {
        "kind": kind,
        "class": chance.choice(names) if found else None,
        "confidence": round(chance.random(), 3) if found else 0.0,
        "score": round(chance.uniform(0, 5), 3),
        "p_value": round(chance.random(), 3),
        "area_px": float(chance.randrange(1, 4000)) if found else 0.0,
        "longest_px": float(chance.randrange(1, 200)) if found else 0.0,
        "count": chance.randrange(1, 6) if found else 0,
        "cells": [(top + r, left + c) for r in range(rows) for c in range(columns)]
        if found
        else [],
        "station": chance.choice(("S1", "S2")),
        "lot": chance.choice(("L7-01", "L7-02", "L8-01", "")),
        "fallback": chance.choice(("late", "expert_unavailable", "no_decision"))
        if kind == "fallback"
        else None,
        "code": chance.choice(("", "UNDECODABLE_IMAGE", "CLASSIFIER_UNAVAILABLE"))
        if kind == "fallback"
        else "",
        "captured_at": BEGIN + timedelta(minutes=chance.randrange(30 * 24 * 60)),
        "id": UUID(int=((int(BEGIN.timestamp() * 1000) << 80) | chance.getrandbits(76))),
    }


def situation_parts(facts: Data) -> tuple[Inspection | None, Classification | None]:
    if facts["kind"] == "fallback":
        return None, None
    region = None
    if facts["kind"] == "classified":
        mask = np.zeros((SIDE, SIDE), dtype=np.bool_)
        for row, column in facts["cells"]:
            mask[row, column] = True
        blob = Blob(
            box=Box(x=0, y=0, width=1, height=1),
            area_px=facts["area_px"],
            longest_side_px=facts["longest_px"],
            centroid_x=0,
            centroid_y=0,
            peak=1.0,
        )
        region = Region(
            image_height=160,
            image_width=320,
            mask_height=SIDE,
            mask_width=SIDE,
            mask_rle=encode_mask(mask),
            blobs=(blob,),
            area_px=facts["area_px"],
            longest_side_px=facts["longest_px"],
            count=facts["count"],
        )
    inspection = Inspection(
        score=facts["score"],
        threshold=2.0,
        p_value=facts["p_value"],
        anomalous=facts["kind"] == "classified",
        region=region,
        expert_version="e1",
    )
    if facts["kind"] != "classified":
        return inspection, None
    return inspection, Classification(
        class_name=facts["class"], confidence=facts["confidence"], classifier="naive"
    )


def recorded(facts: Data, verdict: Data, policy_hash: str, product: str) -> Decision:
    inspection, classification = situation_parts(facts)
    return Decision(
        frame_id=facts["id"],
        line="L1",
        station=facts["station"],
        product_id=product,
        part_id=f"P{facts['id'].int % 10**6}",
        lot_id=facts["lot"],
        plc_boot_id=1,
        trigger_seq=1,
        captured_at=facts["captured_at"],
        deadline=facts["captured_at"] + timedelta(seconds=1),
        result_window_ms=1000,
        result_id=facts["id"],
        source=DecisionSource.FALLBACK if facts["fallback"] else DecisionSource.CLASSIFIER,
        evaluation=Evaluation.OK,
        class_name=verdict["class_name"],
        class_id=verdict["class_id"],
        severity=Severity(verdict["severity"]),
        action=Action(verdict["action"]),
        reason_code=ReasonCode[verdict["reason_code"]],
        rule=verdict["rule"],
        policy_hash=policy_hash,
        inspection=inspection,
        classification=classification,
        decided_at=facts["captured_at"],
    )
