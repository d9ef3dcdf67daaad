"""``andon policy`` against the embedded broker and database, as an engineer uses it."""

import asyncio
import json
import random
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from andon.__main__ import app as whole_app
from andon.settings import load_settings
from history.reviews import build_review
from history.writer import PostgresHistoryWriter
from infra.stack.broker import Broker
from policies.authoring.loading import load_policy
from policies.errors import SofteningError
from streams.codes import Action, Severity
from streams.errors import UnavailableError
from streams.events import Decision
from tests.policies.commands import andon, answer_of, in_force, write
from tests.policies.naive import naive, recorded, some_facts

WHY = ("--reason", "for the test")
PLAIN: dict[str, Any] = {
    "mm_per_px": {"default": 0.1},
    "classes": {
        "crack": {"severity": "defect", "action": "rework"},
        "dust": {"severity": "negligible", "action": "pass"},
    },
    "fallbacks": {"unsure": {"below": 0.2}},
}


def test_validate_says_what_is_wrong_and_fails(tmp_path: Path) -> None:
    good, bad = write(tmp_path, "p", "scrap"), write(tmp_path, "p", "scarp", "bad.yaml")
    assert andon("validate", good).exit_code == 0
    assert andon("validate", "--strict", good).exit_code == 1, "no descriptions: a warning"
    found = andon("validate", good, bad)
    assert found.exit_code == 1
    assert "bad.yaml:4:37: E203" in found.stdout.replace("\n", "")
    body = answer_of(andon("validate", "--json", bad))
    assert body[0]["errors"][0]["line"] == 4
    assert body[0]["policy_hash"] is None


def test_validate_checks_all_shipped_files() -> None:
    assert andon("validate").exit_code == 0


def test_explain_shows_the_path(tmp_path: Path) -> None:
    path = write(tmp_path, "p", "scrap")
    found = andon("explain", path, "--class", "crack", "--confidence", "0.1")
    assert found.exit_code == 0
    assert "is below 0.2: unsure" in found.stdout
    body = answer_of(andon("explain", path, "--class", "crack", "--json"))
    assert (body["action"], body["rule"]) == ("scrap", "class:crack")


def test_explain_refuses_what_the_policy_does_not_have(tmp_path: Path) -> None:
    """A mistyped zone made its rules false, and a file without a class was looked for as a part."""
    path = Path(write(tmp_path, "p", "scrap"))
    square = "[[0, 0], [1, 0], [1, 1]]"
    path.write_text(f"{path.read_text()}zones: [{{name: rim, polygon: {square}}}]\n")
    known = andon("explain", str(path), "--class", "crack", "--zone", "rim")
    assert known.exit_code == 0, known.output
    for words, said in (
        (("--class", "crack", "--zone", "rimm"), "no zone 'rimm': rim"),
        (("--class", "crack", "--shift", "night"), "no shift 'night': it has none"),
        ((), "say what the classifier answers"),
    ):
        found = andon("explain", str(path), *words)
        plain = " ".join(found.output.replace("│", " ").split())
        assert (found.exit_code, said in plain) == (2, True), found.output


def test_diff_names_a_softening(tmp_path: Path) -> None:
    one, two = write(tmp_path, "p", "scrap"), write(tmp_path, "p", "pass", "two.yaml")
    found = andon("diff", one, two)
    assert "crack: scrap -> pass" in found.stdout
    assert "SOFTENING" in found.stdout
    assert answer_of(andon("diff", two, one, "--json"))["softenings"] == []


def test_backtest_from_a_dump(tmp_path: Path, configured: None) -> None:
    path = write(tmp_path, "p", "rework")
    decisions = decisions_of(load_policy(path).policy_hash, "p", 100)
    dump = tmp_path / "dump.jsonl"
    dump.write_text("".join(d.model_dump_json() + "\n" for d in decisions))
    same = andon("backtest", path, "--from", dump)
    assert same.exit_code == 0, same.stdout
    assert "100 of the 100 decisions of this very version are reproduced" in same.stdout
    other = answer_of(
        andon("backtest", write(tmp_path, "p", "scrap", "q.yaml"), "--from", dump, "--json")
    )
    assert other["decisions"] == 100
    assert {(c["class"], c["before"], c["after"]) for c in other["changed"]} == {
        ("crack", "rework", "scrap")
    }
    assert other["not_judgeable"] > 0, "the recorded version's texts are not at hand"


def decisions_of(policy_hash: str, product: str, count: int) -> list[Decision]:
    chance = random.Random(product)
    facts = [some_facts(chance, PLAIN) for _ in range(count)]
    return [recorded(f, naive(PLAIN, f), policy_hash, product) for f in facts]


def test_apply_log_soften_and_roll_back(
    tmp_path: Path, configured: None, broker: Broker, database: str
) -> None:
    product, servers = "applied", broker.bootstrap_servers
    first = write(tmp_path, product, "rework")
    asked = andon("apply", first, "--reason", "start")
    assert asked.exit_code == 1, "nobody is here to ask"
    assert "say --yes" in asked.output
    assert andon("apply", first, "--yes", "--by", "ada", "--reason", "start").exit_code == 0
    hash_one, action = asyncio.run(in_force(servers, product))
    assert (hash_one, action) == (load_policy(first).policy_hash, Action.REWORK)

    asyncio.run(_record(database, decisions_of(hash_one, product, 60)))
    harder = andon(
        "apply",
        write(tmp_path, product, "scrap"),
        "--yes",
        "--since",
        "9999d",
        "--reason",
        "harder",
    )
    assert harder.exit_code == 0, harder.output
    assert "crack: rework -> scrap" in harder.stdout
    assert "60 decisions on applied" in harder.stdout
    assert asyncio.run(in_force(servers, product))[1] is Action.SCRAP

    softer = write(tmp_path, product, "pass")
    refused = andon("apply", softer, "--yes", "--since", "9999d", "--json", *WHY)
    assert isinstance(refused.exception, SofteningError)
    said = json.loads(refused.stdout)
    assert (said["applied"], said["softens"], said["backtest"]["decisions"]) == (False, True, 60)
    assert asyncio.run(in_force(servers, product))[1] is Action.SCRAP, "nothing changed"
    allowed = andon("apply", softer, "--yes", "--allow-softening", "--skip-backtest", *WHY)
    assert allowed.exit_code == 0, allowed.output
    assert asyncio.run(in_force(servers, product))[1] is Action.PASS

    said = answer_of(andon("apply", softer, "--yes", "--skip-backtest", "--json", *WHY))
    assert (said["applied"], said["softens"], said["product"]) == (True, False, product)
    assert said["policy_hash"] == load_policy(softer).policy_hash
    assert said["audit_entry"] > 0
    back = andon("rollback", hash_one[:12], "--yes", "--reason", "too soft")
    assert back.exit_code == 0, back.output
    assert asyncio.run(in_force(servers, product)) == (hash_one, Action.REWORK)

    entries = answer_of(andon("log", product, "--json"))
    assert [e["softening"] for e in entries] == [False, False, True, False, False]
    assert (entries[-1]["applied_by"], entries[-1]["reason"]) == ("ada", "start")
    assert entries[-1]["from_hash"] is None
    assert entries[0]["to_hash"] == hash_one
    assert "too soft" in andon("log", product).stdout
    words = andon("diff", hash_one[:12], entries[1]["to_hash"][:12]).stdout
    assert "crack: rework -> pass" in words
    assert "nothing changes" in andon("diff", product, hash_one).stdout

    gone = andon("withdraw", product, "--yes", "--by", "ada", "--reason", "no more")
    assert gone.exit_code == 0, gone.output
    assert asyncio.run(in_force(servers, product))[1] is Action.HOLD
    assert answer_of(andon("log", product, "--json"))[0]["to_hash"] is None
    assert "withdrawn" in andon("log", product).stdout

    again = andon("apply", softer, "--yes", "--skip-backtest", *WHY)
    assert isinstance(again.exception, SofteningError), "a withdrawal is no way around it"
    assert "the last in force" in again.output
    assert asyncio.run(in_force(servers, product))[1] is Action.HOLD
    same = write(tmp_path, product, "rework")
    assert andon("apply", same, "--yes", "--skip-backtest", *WHY).exit_code == 0, "as it was"
    assert asyncio.run(in_force(servers, product))[1] is Action.REWORK


def test_a_product_of_digits_is_no_hash(tmp_path: Path, configured: None) -> None:
    """Material numbers of six digits and more are hexadecimal too."""
    path = write(tmp_path, "'100200'", "rework")
    assert andon("apply", path, "--yes", "--skip-backtest", *WHY).exit_code == 0
    assert "nothing changes" in andon("diff", "100200", path).stdout
    found = answer_of(andon("explain", "100200", "--class", "crack", "--json"))
    assert found["action"] == "rework"


async def _record(url: str, decisions: list[Decision]) -> None:
    writer = PostgresHistoryWriter(url)
    try:
        await writer.add_decisions(decisions)
    finally:
        await writer.close()


def test_backtest_over_the_history_is_exact(
    tmp_path: Path, configured: None, database: str
) -> None:
    product = "history"
    path = write(tmp_path, product, "rework")
    decisions = decisions_of(load_policy(path).policy_hash, product, 200)
    asyncio.run(_record(database, decisions))
    found = answer_of(andon("backtest", path, "--since", "9999d", "--json"))
    assert (found["in_force"], found["decisions"], found["exact"]) == (200, 200, True)


async def _review(url: str, frames: list[Decision], severity: Severity, class_name: str) -> None:
    writer = PostgresHistoryWriter(url)
    try:
        for frame in frames:
            review = build_review(frame.frame_id, "ada", severity, class_name)
            await writer.add_reviews([review])
    finally:
        await writer.close()


def test_reviews_of_the_history_certify_and_are_audited(
    tmp_path: Path, configured: None, database: str
) -> None:
    product = "certified"
    path = write(tmp_path, product, "rework")
    recorded = decisions_of(load_policy(path).policy_hash, product, 700)
    passed = [d for d in recorded if d.rule == "class:dust"]
    asyncio.run(_record(database, recorded))
    asyncio.run(_review(database, passed[:40], Severity.NEGLIGIBLE, "dust"))
    asyncio.run(_review(database, passed[40:42], Severity.DEFECT, "crack"))

    def certify(*words: str) -> Any:
        arguments = ["certify", str(path), "--since", "9999d", "--json", *words]
        return answer_of(CliRunner().invoke(whole_app, arguments))

    found = certify()
    entry = next(c for c in found["classes"] if c["class_name"] == "dust")
    assert (entry["reviews"], entry["escapes"], entry["certified"]) == (42, 2, False)
    looser = certify("--escape", "0.3", "--write")
    assert "dust" in looser["certificate"]["classes"]
    document = load_policy(path).document
    assert document.certificate is not None
    assert document.certificate.expert_version == passed[0].inspection.expert_version  # type: ignore[union-attr]

    arguments = ["taxonomy", "audit", "--descriptions", str(path), "--since", "9999d", "--json"]
    audited = answer_of(CliRunner().invoke(whole_app, arguments))["objects"][product]
    assert audited["parts"] == 42
    (border,) = audited["borders"]
    assert (border["first"], border["second"], border["first_as_second"]) == ("crack", "dust", 2)


def test_explain_a_recorded_frame(tmp_path: Path, configured: None, database: str) -> None:
    product = "explained"
    path = write(tmp_path, product, "rework")
    assert andon("apply", path, "--yes", *WHY).exit_code == 0
    decision = next(
        d
        for d in decisions_of(load_policy(path).policy_hash, product, 50)
        if d.rule == "class:crack"
    )
    asyncio.run(_record(database, [decision]))
    found = andon("explain", str(decision.frame_id))
    assert found.exit_code == 0, found.output
    assert "recorded: rework, class:crack" in found.stdout
    other = andon("explain", str(decision.frame_id), "--under", write(tmp_path, product, "scrap"))
    assert "scrap (defect, class:crack)" in other.stdout


def test_without_a_database_apply_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANDON_POSTGRES__URL", "postgresql+asyncpg://postgres@127.0.0.1:1/andon")
    monkeypatch.setenv("ANDON_POSTGRES__TIMEOUT_S", "2")
    load_settings.cache_clear()
    path = write(tmp_path, "p", "scrap")
    found = andon("apply", path, "--yes", *WHY)
    since_a_day = andon("backtest", path, "--since", "2026-11-01")
    load_settings.cache_clear()
    assert isinstance(found.exception, UnavailableError)
    assert isinstance(since_a_day.exception, UnavailableError), since_a_day.output


@pytest.mark.parametrize("words", [("backtest", "x.yaml", "--since", "soon"), ("nonsense",)])
def test_bad_usage_is_two(words: tuple[str, ...], tmp_path: Path) -> None:
    path = write(tmp_path, "p", "scrap")
    assert andon(*(str(path) if word == "x.yaml" else word for word in words)).exit_code == 2
