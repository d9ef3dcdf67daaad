"""Every adapter of the line can be built from the settings; nothing connects before it is used."""

import asyncio
from pathlib import Path

import pytest

from andon.settings import Settings, SettingsError
from andon.wiring import edge, opened, ray_serve, storage
from streams.ports import (
    AnomalyClassifier,
    ImageStore,
    VisionExpert,
)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings.model_validate(
        {
            "paths": {"state": tmp_path},
            "gateway": {
                "camera": "synthetic:seed=1",
                "journal_dir": tmp_path / "journal",
                "spool_dir": tmp_path / "spool",
            },
        }
    )


def test_adapters_are_of_their_ports(settings: Settings) -> None:
    assert isinstance(ray_serve.vision_expert(settings), VisionExpert)
    assert isinstance(ray_serve.classifier(settings), AnomalyClassifier)
    assert isinstance(storage.image_store(settings), ImageStore)


def test_the_gateway_s_files_bear_line_and_station(settings: Settings, tmp_path: Path) -> None:
    assert edge.journal(settings).path == tmp_path / "journal" / "line1-station1.journal"
    for spool in edge.spools(settings).values():
        spool.open()
    folder = tmp_path / "spool" / "line1-station1"
    assert {path.name for path in folder.iterdir()} == {"words", "large"}


def test_what_is_opened_is_closed_even_when_that_fails(settings: Settings) -> None:
    closed = []

    class Adapter:
        async def close(self) -> None:
            closed.append(self)
            raise OSError("the connection is gone")

    async def use() -> None:
        async with opened(lambda _: Adapter(), settings) as adapter:
            assert not closed
        assert closed == [adapter]

    asyncio.run(use())


def test_bundles_lie_in_a_folder_or_in_s3(tmp_path: Path) -> None:
    assert storage.bundle_store(str(tmp_path)).products() == {}
    storage.bundle_store("s3://bundles/experts")


def test_a_camera_that_cannot_be_meant_is_named_by_its_setting(settings: Settings) -> None:
    gateway = settings.gateway.model_copy(update={"camera": "rstp://u:secret@camera/live"})
    with pytest.raises(SettingsError, match="ANDON_GATEWAY__CAMERA: camera") as refused:
        edge.cameras(settings.model_copy(update={"gateway": gateway}))
    assert "secret" not in str(refused.value)
