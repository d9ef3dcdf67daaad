"""What each camera adds to the contract of ``tests/contracts/test_camera.py``."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from connectors.cameras import FolderCamera, OpenCVCamera, SyntheticCamera, open_camera
from connectors.cameras.opencv import is_live
from connectors.cameras.synthetic import render
from connectors.errors import CameraSpecError, CaptureError
from streams.ports import Trigger


def trigger(seq: int) -> Trigger:
    return Trigger(1, seq, f"part-{seq}", "lot", "demo", 0, 1000)


def write_pictures(folder: Path, names: list[str]) -> list[Path]:
    paths = [folder / name for name in names]
    for shade, path in enumerate(paths):
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), np.full((16, 16, 3), shade * 20, np.uint8))
    return paths


@pytest.mark.asyncio
async def test_a_folder_gives_the_original_bytes_by_trigger_number(tmp_path: Path) -> None:
    paths = write_pictures(tmp_path / "test", ["crack/2.png", "good/1.jpg", "good/3.png"])
    camera = FolderCamera.over_folder(tmp_path)
    for seq, path in [(1, paths[0]), (2, paths[1]), (3, paths[2]), (4, paths[0]), (7, paths[0])]:
        picture = await camera.capture(trigger(seq))
        assert picture.data == path.read_bytes()
        assert picture.name == path.relative_to(tmp_path / "test").as_posix()


@pytest.mark.asyncio
async def test_a_list_keeps_its_order_and_a_missing_file_is_a_capture_error(
    tmp_path: Path,
) -> None:
    paths = write_pictures(tmp_path, ["z.png", "a.png"])
    (tmp_path / "order.txt").write_text(f"{paths[0]}\ngone.png\na.png\n")
    camera = FolderCamera.over_list(tmp_path / "order.txt")
    assert (await camera.capture(trigger(1))).data == paths[0].read_bytes()
    assert (await camera.capture(trigger(3))).data == paths[1].read_bytes()
    with pytest.raises(CaptureError, match=r"gone\.png"):
        await camera.capture(trigger(2))


@pytest.mark.asyncio
async def test_bytes_that_are_no_picture_travel_as_they_are(tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("not a picture")
    camera = FolderCamera.over_folder(tmp_path)
    assert (await camera.capture(trigger(1))).data == b"not a picture"


@pytest.mark.asyncio
async def test_the_synthetic_camera_repeats_itself() -> None:
    one, two = SyntheticCamera(5, 48), SyntheticCamera(5, 48)
    assert (await one.capture(trigger(9))).data == (await two.capture(trigger(9))).data
    assert (await one.capture(trigger(9))).data != (await one.capture(trigger(10))).data


def test_the_synthetic_share_of_defects_is_the_one_asked_for() -> None:
    defects = [bool(render(1, seq, 16, 0.3)[1]) for seq in range(1, 501)]
    assert 0.25 < sum(defects) / 500 < 0.35


@pytest.mark.asyncio
async def test_a_source_that_does_not_open_says_so(tmp_path: Path) -> None:
    camera = OpenCVCamera(str(tmp_path / "nothing.avi"), timeout_s=5)
    with pytest.raises(CaptureError, match=r"nothing\.avi"):
        await camera.open()
    await camera.close()


class Stuck:
    """A driver that hangs until it is released."""

    def __init__(self) -> None:
        import threading

        self.let_go = threading.Event()

    def isOpened(self) -> bool:
        return True

    def read(self) -> tuple[bool, None]:
        self.let_go.wait(10)
        return False, None

    def set(self, *_: object) -> None: ...
    def release(self) -> None: ...


@pytest.mark.asyncio
async def test_a_hanging_driver_misses_its_deadline_and_not_the_line(monkeypatch) -> None:
    stuck = Stuck()
    monkeypatch.setattr(cv2, "VideoCapture", lambda *_: stuck)
    camera = OpenCVCamera("film.avi", timeout_s=0.05)
    await camera.open()
    with pytest.raises(CaptureError, match="no picture in"):
        await camera.capture(trigger(1))
    stuck.let_go.set()
    await camera.close()


@pytest.mark.parametrize(
    "spec",
    [
        "",
        "folder",
        "folder:",
        "webcam:0",
        "synthetic:size=5",
        "synthetic:colour=1",
        "list:/no/file",
    ],
)
def test_a_bad_specification_says_what_is_accepted(spec: str) -> None:
    with pytest.raises(CameraSpecError, match=r"accepted|pixels|No such file"):
        open_camera(spec)


def test_an_empty_folder_is_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(CameraSpecError, match="no pictures there"):
        open_camera(f"folder:{tmp_path}")


@pytest.mark.parametrize(
    "other", ["._1.png", "Thumbs.db", "__MACOSX/._2.png", "__MACOSX/3.png", "Ground_Truth/a/1.png"]
)
def test_a_folder_serves_the_pictures_that_training_takes(other: str, tmp_path: Path) -> None:
    write_pictures(tmp_path, ["1.png"])
    (tmp_path / other).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / other).write_bytes(b"x")
    camera = FolderCamera.over_folder(tmp_path)
    assert [path.name for path in camera.files] == ["1.png"]


@pytest.mark.parametrize("test", ["test", "Test", "TEST"])
def test_a_data_set_serves_its_test_in_any_case(test: str, tmp_path: Path) -> None:
    write_pictures(tmp_path, [f"{test}/good/1.png", "Train/good/2.png", "Ground_Truth/cut/3.png"])
    assert [path.name for path in FolderCamera.over_folder(tmp_path).files] == ["1.png"]


@pytest.mark.parametrize("suffix", [".pgm", ".PGM", ".gif", ".jfif", ".ppm"])
def test_a_folder_serves_every_kind_that_the_decoder_reads(suffix: str, tmp_path: Path) -> None:
    (tmp_path / f"1{suffix}").write_bytes(b"P5 1 1 255\n0")
    assert len(FolderCamera.over_folder(tmp_path).files) == 1


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "cp1252"])
@pytest.mark.parametrize("line", ["ä b.png", "..\\lists\\ä b.png", '"ä b.png"', "ä b.png  "])
def test_a_list_is_read_as_people_save_it(encoding: str, line: str, tmp_path: Path) -> None:
    paths = write_pictures(tmp_path / "lists", ["ä b.png", "c.png"])
    listing = tmp_path / "lists" / "order.txt"
    listing.write_bytes(f"# first\r\n{line}\r\n\r\nc.png\r\n".encode(encoding))
    found = FolderCamera.over_list(listing).files
    assert [path.resolve() for path in found] == paths


@pytest.mark.shared
@pytest.mark.parametrize(
    "name", ["plain", "bom", "crlf", "latin1", "utf16", "backslash", "comment", "trailing_space"]
)
def test_lists_that_people_have(name: str, shared: Path) -> None:
    files = FolderCamera.over_list(shared / "cases" / "folders" / "lists" / f"{name}.txt").files
    assert all(path.is_file() for path in files)
    assert [p.name for p in files] in (["ä b.png", "c.png"], ["c.png"])


@pytest.mark.shared
@pytest.mark.parametrize(
    ("name", "served"),
    [
        ("mac_zip", ["001.png", "002.png"]), ("pgm_only", ["1.pgm"]), ("Upper", ["1.PNG"]),
        ("pgm_mixed", ["1.png", "2.pgm", "3.gif"]), ("umlaut set", ["0 1.PNG", "g.png"]),
    ],
)  # fmt: skip
def test_folders_that_people_have(name: str, served: list[str], shared: Path) -> None:
    files = FolderCamera.over_folder(shared / "cases" / "folders" / name).files
    assert [path.name for path in files] == served


def test_a_list_that_names_no_file_says_the_first(tmp_path: Path) -> None:
    (tmp_path / "order.txt").write_text("gone.png\naway.png\n")
    with pytest.raises(CameraSpecError, match=r"order\.txt:1: none of its 2 files is there"):
        FolderCamera.over_list(tmp_path / "order.txt")


@pytest.mark.parametrize(
    ("source", "live"),
    [
        (0, True), ("/dev/video0", True), ("/dev/v4l/by-id/usb-Cam_1234-index0", True),
        ("rtsp://u:p@10.0.0.7/s", True), ("http://cam/mjpeg", True), ("udp://@:5000", True),
        ("/dev/null", True), ("run.mp4", False), ("/data/run.avi", False), ("file:///a.mp4", False),
    ],
)  # fmt: skip
def test_devices_and_streams_are_live(source: int | str, live: bool) -> None:
    assert is_live(source) is live


@pytest.mark.asyncio
@pytest.mark.parametrize("password", ["geheim", "p@ss:w/rd", "p%20ss!$&x"])
@pytest.mark.parametrize("kind", ["opencv:", ""])
async def test_no_message_holds_a_streams_password(password: str, kind: str) -> None:
    spec = f"{kind}rtsp://op:{password}@127.0.0.1:9/x"
    with pytest.raises((CameraSpecError, CaptureError)) as raised:
        await open_camera(spec, 1).open()
    assert password not in str(raised.value)
    assert "op:***@" in str(raised.value)
