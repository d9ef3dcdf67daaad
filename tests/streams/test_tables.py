"""Tables as spreadsheets, scripts and people save them."""

import csv
import itertools
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.images.parts import read_parts, require_match
from streams.tables import TableError, located, read_lines, read_table

ENCODINGS = ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "cp1252"]
ROWS = [("normals/a 1.png", "P1"), ("normals/ü.png", "Gehäuse, links"), ("normals/c.png", "P3")]


def written(delimiter: str, newline: str = "\n", heading: str = "path{}part") -> str:
    quoted = [f'{path}{delimiter}"{part}"' for path, part in ROWS]
    return newline.join([heading.format(delimiter), *quoted]) + newline


@pytest.mark.parametrize(
    ("encoding", "delimiter", "newline"),
    list(itertools.product(ENCODINGS, ",;\t|", ["\n", "\r\n", "\r"])),
)
def test_every_encoding_delimiter_and_line_end_is_read(
    encoding: str, delimiter: str, newline: str, tmp_path: Path
) -> None:
    path = tmp_path / "parts.csv"
    path.write_bytes(written(delimiter, newline).encode(encoding))
    table = read_table(path, "path", "part")
    assert [(row["path"], row["part"]) for row in table.rows] == ROWS
    assert table.delimiter == delimiter


@pytest.mark.parametrize(
    "heading",
    ["path{} part", " Path {}PART", '"path"{}"part"', "sep={}\npath{}part", "\n\npath{}part"],
)
@pytest.mark.parametrize("delimiter", list(",;\t"))
def test_headings_as_people_write_them(heading: str, delimiter: str, tmp_path: Path) -> None:
    text = written(delimiter, heading=heading.replace("{}", delimiter))
    (tmp_path / "parts.csv").write_text(text)
    assert read_table(tmp_path / "parts.csv", "path", "part").rows[1]["part"] == ROWS[1][1]


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "parts.csv:1: empty; a heading with 'path' and 'part'"),
        (b"file,teil\na,b\n", "parts.csv:1: no column 'path' and 'part'; it has 'file' and 'teil'"),
        (b"path,part\na.png\n", "parts.csv:2: 1 values, but the heading has 2"),
        (b"path,part\na.png,1\nb.png,1,x\n", "parts.csv:3: 3 values, but the heading has 2"),
        (b'path,part\na.png,"1\n', "parts.csv:2: unexpected end of data (read as utf-8)"),
        (b"path,part,part\na,b,c\n", "two columns are called 'part'"),
        (b"path,part\na\x00.png,1\n", "parts.csv:2: no text: character 0"),
        (b"\xef\xbb\xbfpath,part\nb,\xff\n", "parts.csv:2: byte 0xff is no utf-8-sig"),
        (b"\xff\xfep\x00a", "parts.csv:1"),
        (b"path,part\n,P1\n", "parts.csv:2: no path"),
        (b"path,part\na.png,\n", "parts.csv:2: no part"),
        (b"path,part\na.png,1\na.png,2\n", "parts.csv:3: a.png is part '2' here and '1' before"),
    ],
)
def test_an_error_names_file_and_line(data: bytes, words: str, tmp_path: Path) -> None:
    (tmp_path / "parts.csv").write_bytes(data)
    with pytest.raises(TableError) as raised:
        read_parts(tmp_path / "parts.csv", [tmp_path / "a.png"])
    assert words in str(raised.value)


@pytest.mark.parametrize(
    "spelling",
    ["n/ü 1.png", "n\\ü 1.png", ".\\n\\ü 1.png", '"n/ü 1.png"', " n/ü 1.png ", "n/u\u0308 1.png"],
)
@pytest.mark.parametrize("absolute", ["table", "pictures", "neither"])
def test_a_path_is_found_however_it_is_spelt(
    spelling: str, absolute: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    picture = Path("n") / "ü 1.png"
    picture.parent.mkdir()
    picture.touch()
    quoted = '"' + spelling.replace('"', '""') + '"'
    Path("parts.csv").write_text(f"path,part\n{quoted},7\n", "utf-8")
    table = Path("parts.csv").absolute() if absolute == "table" else Path("parts.csv")
    shown = picture.absolute() if absolute == "pictures" else picture
    assert read_parts(table, [shown]).groups == {shown: "7"}
    assert located(Path(), spelling) == picture


def test_paths_may_be_relative_to_the_photographs_or_known_by_name(tmp_path: Path) -> None:
    pictures = [tmp_path / "in" / f"{n}.png" for n in "abc"]
    (tmp_path / "t").mkdir()
    table = tmp_path / "t" / "parts.csv"
    table.write_text("path,part\na.png,1\nC:\\data\\b.png,2\n")
    assert read_parts(table, pictures, [tmp_path / "in"]).groups == {pictures[0]: "1"}
    found = read_parts(table, pictures, [tmp_path / "in"], by_name=True)
    assert found.groups == {pictures[0]: "1", pictures[1]: "2"}
    assert (found.without, found.unmatched) == (1, 0)


def test_what_does_not_match_is_counted_and_said(tmp_path: Path) -> None:
    table = tmp_path / "parts.csv"
    table.write_text("path,part\na.png,1\nx.png,1\ny.png,2\n")
    found = require_match(read_parts(table, [tmp_path / "a.png", tmp_path / "b.png"]), [])
    assert (found.rows, found.without, found.unmatched) == (3, 1, 2)
    assert "1 photographs have no row" in found.words()
    assert "2 of 3 rows name none" in found.words()


def test_a_table_that_matches_nothing_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "parts.csv").write_text("path,part\nnormals/zzz.png,P1\n")
    pictures = [tmp_path / "normals" / "a.png"]
    with pytest.raises(TableError, match=r"parts\.csv:2: none of its 1 rows names one of the 1"):
        require_match(read_parts(tmp_path / "parts.csv", pictures), pictures)


def test_a_list_is_read_line_by_line_in_any_encoding(tmp_path: Path) -> None:
    for encoding in ENCODINGS:
        (tmp_path / "list.txt").write_bytes("ä b.png\r\n\r\nc.png\r\n".encode(encoding))
        assert list(read_lines(tmp_path / "list.txt")) == [(1, "ä b.png"), (3, "c.png")]


def test_letters_that_are_guessed_are_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "a.csv").write_bytes("path,part\nü.png,1\n".encode("cp1252"))
    assert read_table(tmp_path / "a.csv").encoding == "windows-1252"
    assert "a.csv: no UTF-8, so it is read as windows-1252" in caplog.text


@settings(max_examples=200, deadline=None)
@given(
    rows=st.lists(
        st.tuples(
            st.text("abä/\\ '", min_size=1).map(str.strip).filter(bool),
            st.text(min_size=1, max_size=8)
            .map(lambda t: "".join(c for c in t if c.isprintable()).strip())
            .filter(bool),
        ),
        min_size=1,
        max_size=6,
    ),
    delimiter=st.sampled_from(",;\t|"),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
)
def test_what_a_writer_of_csv_wrote_is_read_back(
    rows: list[tuple[str, str]],
    delimiter: str,
    encoding: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    path = tmp_path_factory.mktemp("t") / "t.csv"
    with path.open("w", encoding=encoding, newline="") as stream:
        csv.writer(stream, delimiter=delimiter).writerows([("path", "part"), *rows])
    found = read_table(path, "path", "part")
    assert [(row["path"], row["part"]) for row in found.rows] == rows
