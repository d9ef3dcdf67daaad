"""What pages show of a manifest, of this release and of those that said less."""

from datetime import UTC, datetime
from pathlib import Path

from andon.learning.manifests import described_detail
from andon.learning.versions import describe_version
from console.model_versions import VersionDetail
from serving.bundle_store import open_folder
from serving.experts.artifact import save_artifact
from serving.experts.composed import ComposedExpert
from tests.serving.experts.conftest import normals as normals
from tests.serving.experts.conftest import trained as trained

DIGEST = "ab" * 32


def shown(manifest: dict[str, object]) -> VersionDetail:
    version = describe_version("part", DIGEST, 0.0, manifest, None, (None, None), [], [])
    return described_detail(version, manifest, [], [], [], ["the database"])


def test_an_expert_tells_all_that_training_found(trained: ComposedExpert, tmp_path: Path) -> None:
    digest = save_artifact(trained, tmp_path)
    found = shown(open_folder(tmp_path).manifest("part", digest))
    calibration, told = trained.model.calibration, trained.model.trained
    assert found.threshold == calibration.threshold
    assert found.histogram is not None
    assert sum(found.histogram.parts) == 30
    assert [r.found for r in found.at_rates] == [
        r["local"] for r in told["sensitivity"]["at_rates"]
    ]
    assert [o.file for o in found.oddest] == [o["file"] for o in told["sensitivity"]["oddest"]]
    assert set(found.heads) == set(told["choice"]["heads"])
    assert found.has_pictures
    assert found.options["size"] == str(told["options"]["size"])
    assert found.unknown == ("the database",)


def test_a_manifest_that_says_little_or_nonsense_is_shown_as_far_as_it_goes() -> None:
    nothing = shown({})
    assert (nothing.histogram, nothing.threshold, nothing.at_rates) == (None, None, ())
    odd = shown(
        {
            "calibration": {"threshold": "high", "histogram": {"first": 0, "width": 0}},
            "trained": {"sensitivity": {"oddest": ["x", {}], "at_rates": {}, "by_kind": []}},
        }
    )
    assert (odd.histogram, odd.threshold, odd.at_rates, odd.by_kind) == (None, None, (), {})
    assert [o.file for o in odd.oddest] == [""]
    assert odd.version.written_at == datetime.fromtimestamp(0, UTC)
