"""The streaming pass: one text, one digest; cut anywhere; damage is never taken for an end."""

from __future__ import annotations

import gzip
import hashlib
import lzma
import random
from pathlib import Path

import pytest
import xlsxwriter

from crm_pipeline.defs.landing import stream
from crm_pipeline.defs.landing.stream import UnreadableFileError, normalise
from tests.unit.landing_support import parquet

TEXT = 'id,name\n1,"Zoë 雪"\n\n2,b\n'


def run(tmp_path: Path, data: bytes, name: str = "f.csv", encoding: str = "utf-8", **more):
    folder = tmp_path / "parts"
    folder.mkdir(exist_ok=True)
    for old in folder.iterdir():
        old.unlink()
    path = tmp_path / name
    path.write_bytes(data)
    settings = {"fallback_encoding": "cp1252"} | more
    result = normalise(path, folder, encoding=encoding, **settings)
    return result, b"".join(part.path.read_bytes() for part in result.parts)


def packed(text: str) -> bytes:
    """Compress without the time of day: it would be in the tests' names, which workers compare."""
    return gzip.compress(text.encode(), mtime=0)


@pytest.mark.parametrize(
    ("data", "encoding"),
    [
        (TEXT.encode(), "utf-8"),
        (TEXT.encode(), "auto"),
        (TEXT.encode("utf-8-sig"), "utf-8"),
        (TEXT.encode("utf-8-sig"), "auto"),
        (TEXT.encode("utf-16"), "auto"),
        (TEXT.encode("utf-16-be"), "utf-16-be"),
        (TEXT.replace("\n", "\r\n").encode(), "utf-8"),
        (TEXT.replace("\n", "\r").encode(), "utf-8"),
        (TEXT[:-1].encode(), "utf-8"),
        (packed(TEXT), "utf-8"),
        (packed(TEXT[:9]) + packed(TEXT[9:]) + b"\0" * 9, "utf-8"),
    ],
)
@pytest.mark.parametrize("chunk", [1, 2, 7, 1 << 20])
def test_one_text_has_one_digest(tmp_path, monkeypatch, data, encoding, chunk):
    monkeypatch.setattr(stream, "CHUNK_BYTES", chunk)
    result, text = run(tmp_path, data, encoding=encoding)
    assert text == TEXT.encode()
    assert result.digest == hashlib.sha256(TEXT.encode()).hexdigest()
    assert result.raw_digest == hashlib.sha256(data).hexdigest()
    assert (result.line_count, result.raw_size) == (4, len(data))


def test_parts_are_cut_at_line_ends(tmp_path, monkeypatch):
    monkeypatch.setattr(stream, "PART_BYTES", 64)
    monkeypatch.setattr(stream, "CHUNK_BYTES", 16)
    data = "".join(f"line {number}\n" for number in range(100)).encode()
    result, text = run(tmp_path, data)
    assert text == data
    assert len(result.parts) > 5
    assert sum(part.line_count for part in result.parts) == 100
    for part in result.parts:
        assert part.path.read_bytes().startswith(b"line %d\n" % (part.first_line - 1))
        assert part.path.read_bytes().endswith(b"\n")


def test_auto_takes_the_fallback_where_the_file_is_no_utf8(tmp_path, monkeypatch):
    monkeypatch.setattr(stream, "CHUNK_BYTES", 4)
    result, text = run(tmp_path, "name\nprice: 5 €\n".encode("cp1252"), encoding="auto")
    assert (result.encoding, text.decode()) == ("cp1252", "name\nprice: 5 €\n")


def test_undecodable_bytes_stay_in_their_line(tmp_path):
    _, text = run(tmp_path, b"a\nb\x81c\nd\n", encoding="cp1252")
    lines = text.split(b"\n")
    assert (lines[0], lines[2]) == (b"a", b"d")
    with pytest.raises(UnicodeDecodeError):
        lines[1].decode()
    _, text = run(tmp_path, "ab\ncd\n".encode("utf-16") + b"x", encoding="utf-16")
    assert text.startswith(b"ab\ncd\n")
    assert len(text) > 6


def test_every_truncation_of_a_gzip_is_seen(tmp_path):
    data = gzip.compress(random.Random(1).randbytes(300) + TEXT.encode())
    for length in range(2, len(data)):
        with pytest.raises(UnreadableFileError, match=r"truncated|damaged"):
            run(tmp_path, data[:length], "f.csv.gz")


def test_a_flipped_bit_in_a_gzip_is_seen(tmp_path):
    plain = random.Random(2).randbytes(2000)
    data = bytearray(gzip.compress(plain))
    for position in range(20, len(data), 97):
        damaged = bytearray(data)
        damaged[position] ^= 4
        with pytest.raises(UnreadableFileError):
            run(tmp_path, bytes(damaged), "f.csv.gz")


def _workbook(folder: Path) -> bytes:
    with xlsxwriter.Workbook(folder / "made.xlsx") as book:
        book.add_worksheet().write_row(0, 0, ["id", "name"])
    return (folder / "made.xlsx").read_bytes()


def _parquet(folder: Path) -> bytes:
    return parquet(folder / "made.parquet", "select 1 as id")


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (_workbook, r"Excel workbook .* not text; save its sheet as CSV"),
        (_parquet, "Parquet file, not text; say `format: parquet`"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(500), "old Excel"),
        (b"%PDF-1.7\n%...", "PDF"),
        (lzma.compress(b"a,b\n1,2\n"), "xz, not text; deliver it plain or gzip-compressed"),
    ],
)
def test_what_is_no_text_is_called_by_its_name(tmp_path, monkeypatch, data, said):
    monkeypatch.setattr(stream, "CHUNK_BYTES", 2)
    with pytest.raises(UnreadableFileError, match=said):
        run(tmp_path, data(tmp_path) if callable(data) else data)


@pytest.mark.parametrize("data", [b"PAR1,PAR2\n1,2\n", b"PK,name\n1,2\n", b"7z,BZh9\n", b"%PDF\n"])
def test_a_text_may_begin_as_it_likes(tmp_path, data):
    assert run(tmp_path, data)[1] == data


def test_the_archive_copy_is_the_file(tmp_path):
    archive = tmp_path / "copy"
    run(tmp_path, TEXT.encode("utf-8-sig"), archive=archive)
    assert gzip.decompress(archive.read_bytes()) == TEXT.encode("utf-8-sig")
    first = archive.read_bytes()
    run(tmp_path, TEXT.encode("utf-8-sig"), archive=archive)
    assert archive.read_bytes() == first


@pytest.mark.parametrize(
    ("data", "is_clean"),
    [("Zoë 雪\n" * 9, True), (b"a\xff\n", False), (b"a\0b\n", False), (b"caf\xc3 x\n", False)],
)
def test_text_that_duckdb_would_misread_is_marked(tmp_path, monkeypatch, data, is_clean):
    monkeypatch.setattr(stream, "CHUNK_BYTES", 2)
    result, _ = run(tmp_path, data if isinstance(data, bytes) else data.encode())
    assert result.is_clean == is_clean
