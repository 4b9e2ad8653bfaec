"""One streaming pass over a file: decompress, decode, normalise line ends, digest, count.

Belongs here: bytes. What the lines mean is not looked at: two files with the same text have the
same digest, whatever their compression, byte order mark, encoding or line ends.
"""

from __future__ import annotations

import codecs
import hashlib
import queue
import threading
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from crm_pipeline.vault.private import Place, places

CHUNK_BYTES = 1 << 20
PART_BYTES = 64 << 20
"""The normalised copy is cut into parts of this size, so that they can be parsed in parallel."""

PARQUET_MAGIC = b"PAR1"
_GZIP_MAGIC = b"\x1f\x8b"
_BOMS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_MARKED = "crm_marked"
_TEXT = "deliver it as text"
_FOREIGN = (
    (b"PK\x03\x04", "an Excel workbook or another zip archive", "save its sheet as CSV"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "a workbook of old Excel", "save its sheet as CSV"),
    (
        PARQUET_MAGIC,
        "a Parquet file",
        "say `format: parquet` in its sources file, or deliver it as text",
    ),
    (b"%PDF-", "a PDF document", _TEXT),
    (b"SQLite format 3\0", "an SQLite database", _TEXT),
    (b"\x28\xb5\x2f\xfd", "compressed by zstd", "deliver it plain or gzip-compressed"),
    (b"\xfd7zXZ\0", "compressed by xz", "deliver it plain or gzip-compressed"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive", "deliver it plain or gzip-compressed"),
)
"""First bytes that no text has, what they tell, and what to do about it."""


class UnreadableFileError(Exception):
    """The file cannot be read to its end; the message says why, without its content."""


class _NotInEncodingError(Exception):
    """``auto``: the file is not UTF-8 after all."""


@dataclass(frozen=True)
class Part:
    """A piece of the normalised copy, cut at a line end."""

    path: Path
    first_line: int
    line_count: int


@dataclass(frozen=True)
class Normalised:
    """What the pass made of a file.

    Attributes:
        parts: UTF-8 text with LF line ends; bytes that could not be decoded make their line
            invalid UTF-8, which the parser then quarantines.
        digest: SHA-256 of that text.
        raw_digest: SHA-256 of the file's bytes.
        raw_size: Size of the file in bytes.
        line_count: Physical lines.
        encoding: The encoding that was used.
        is_clean: Whether the text is valid UTF-8 (DuckDB does not look at columns that it need not
            read) without NUL characters (which it takes for an empty null token).
    """

    parts: tuple[Part, ...]
    digest: str
    raw_digest: str
    raw_size: int
    line_count: int
    encoding: str
    is_clean: bool = True


def normalise(
    path: Path,
    folder: Path,
    *,
    encoding: str,
    fallback_encoding: str,
    archive: Path | None = None,
    place: Place | None = None,
) -> Normalised:
    """Write the normalised copy of ``path`` into ``folder`` and describe it.

    Args:
        path: The file, plain or gzip-compressed (told by its first bytes).
        folder: An existing, empty folder for the parts.
        encoding: A codec's name, or ``auto``: a byte order mark decides, else UTF-8 if the whole
            file is valid UTF-8, else ``fallback_encoding``.
        fallback_encoding: See above.
        archive: Where to write the file's bytes as they came, gzip-compressed.
        place: Where each part goes; ``None`` means into ``folder``.

    Raises:
        UnreadableFileError: Truncated or damaged compression, no text at all (an Excel workbook),
            or not text of the encoding.
    """
    wanted = "utf-8" if encoding == "auto" else encoding
    place = place or places(folder, is_private=False)
    try:
        return _Pass(path, place, wanted, encoding == "auto", archive).run()
    except _NotInEncodingError:
        for part in folder.iterdir():
            part.unlink()
        return _Pass(path, place, fallback_encoding, False, archive).run()


def _refuse_foreign(path: Path, head: bytes) -> None:
    """Say what a file is that is no text: read as one, its faults would tell nobody that."""
    for sign, kind, remedy in _FOREIGN:
        if head.startswith(sign):
            if sign == PARQUET_MAGIC and not _ends_with(path, sign):
                return  # a text may begin so
            raise UnreadableFileError(f"it is {kind}, not text; {remedy}")


def _ends_with(path: Path, sign: bytes) -> bool:
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - len(sign)))
        return file.read() == sign


def digest_of_bytes(path: Path) -> str:
    """Return the SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def copy_raw(path: Path, target: Path) -> tuple[str, int]:
    """Copy a file's bytes; return their SHA-256 and number."""
    digest, size = hashlib.sha256(), 0
    with path.open("rb") as source, target.open("wb") as copy:
        while chunk := source.read(CHUNK_BYTES):
            digest.update(chunk)
            copy.write(chunk)
            size += len(chunk)
    return digest.hexdigest(), size


class _Pass:
    """One pass. The writing half runs in a second thread: zlib and hashlib release the GIL."""

    def __init__(
        self, path: Path, place: Place, encoding: str, is_strict: bool, archive: Path | None
    ) -> None:
        self.path = path
        self.encoding = encoding
        self.is_strict = is_strict
        self.raw_digest, self.raw_size = hashlib.sha256(), 0
        self.is_gzip = False
        self.archive = archive
        self.writer = _PartWriter(place)

    def run(self) -> Normalised:
        worker = _Worker(self.writer.write)
        try:
            with self.path.open("rb") as file:
                for text in _unify_line_ends(self._decoded(self._unzipped(self._raw(file)))):
                    worker.put(text)
        finally:
            worker.close()
        worker.check()
        self.writer.finish()
        return Normalised(
            parts=tuple(self.writer.parts),
            digest=self.writer.digest.hexdigest(),
            raw_digest=self.raw_digest.hexdigest(),
            raw_size=self.raw_size,
            line_count=self.writer.line_count,
            encoding=self.encoding,
            is_clean=self.writer.is_clean,
        )

    def _raw(self, file: BinaryIO) -> Iterator[bytes]:
        head = file.read(max(CHUNK_BYTES, 16))
        self.is_gzip = head.startswith(_GZIP_MAGIC)
        if not self.is_gzip and self.path.name.lower().endswith(".gz"):
            raise UnreadableFileError("it is named .gz but is not gzip-compressed")
        _refuse_foreign(self.path, head)
        # What comes compressed is archived as it is; the rest is compressed, quickly.
        packer = None if self.is_gzip else zlib.compressobj(1, wbits=31)
        target = self.archive.open("wb") if self.archive else None
        try:
            chunk = head
            while chunk:
                self.raw_digest.update(chunk)
                self.raw_size += len(chunk)
                if target:
                    target.write(packer.compress(chunk) if packer else chunk)
                yield chunk
                chunk = file.read(CHUNK_BYTES)
            if target and packer:
                target.write(packer.flush())
        finally:
            if target:
                target.close()

    def _unzipped(self, chunks: Iterator[bytes]) -> Iterator[bytes]:
        first = next(chunks, b"")
        if not self.is_gzip:
            if first:
                yield first
            yield from chunks
            return
        stream, pending = zlib.decompressobj(wbits=31), first
        try:
            while True:
                while pending and not stream.eof:
                    yield stream.decompress(pending, 8 * CHUNK_BYTES)
                    pending = stream.unconsumed_tail or stream.unused_data
                if stream.eof:
                    pending = pending.lstrip(b"\0") or next(chunks, b"").lstrip(b"\0")
                    while not pending and (more := next(chunks, b"")):
                        pending = more.lstrip(b"\0")
                    if not pending:
                        return
                    stream = zlib.decompressobj(wbits=31)
                elif not (pending := next(chunks, b"")):
                    yield stream.flush()
                    if not stream.eof:
                        raise UnreadableFileError(
                            "its gzip stream ends early: the file is truncated; deliver it again"
                        )
        except zlib.error as fault:
            raise UnreadableFileError(
                f"its gzip stream is damaged ({fault}); deliver it again"
            ) from fault

    def _decoded(self, chunks: Iterator[bytes]) -> Iterator[bytes]:
        first = next((chunk for chunk in chunks if chunk), b"")
        while 0 < len(first) < 4 and (more := next(chunks, b"")):
            first += more
        bom = next(((mark, name) for mark, name in _BOMS if first.startswith(mark)), None)
        if bom and bom[1] == "utf-8" and self.encoding in ("utf-8", "utf-8-sig"):
            first = first[len(bom[0]) :]
        elif bom and bom[1] == "utf-16" and self.is_strict:
            self.encoding, self.is_strict = "utf-16", False
        if self.encoding in ("utf-8", "utf-8-sig", "ascii") and not self.is_strict:
            yield first
            yield from chunks
            return
        decoder = codecs.getincrementaldecoder(self.encoding)(
            "strict" if self.is_strict else _MARKED
        )
        try:
            text = decoder.decode(first)
            yield text.removeprefix("\ufeff").encode("utf-8", "surrogatepass")
            for chunk in chunks:
                yield decoder.decode(chunk).encode("utf-8", "surrogatepass")
            yield decoder.decode(b"", final=True).encode("utf-8", "surrogatepass")
        except UnicodeDecodeError as fault:
            raise _NotInEncodingError from fault
        except UnicodeError as fault:
            raise UnreadableFileError(
                f"it is not {self.encoding} text ({fault}); set `encoding` in its sources file, "
                "for example to utf-16-le, or deliver it again"
            ) from fault


def _unify_line_ends(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Turn CRLF and CR into LF, and end the last line."""
    held, last = b"", b"\n"
    for chunk in chunks:
        data = held + chunk
        held = b""
        if data.endswith(b"\r"):
            held, data = b"\r", data[:-1]
        if b"\r" in data:
            data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        if data:
            last = data[-1:]
            yield data
    if held or last != b"\n":
        yield b"\n"


class _PartWriter:
    """Digests and counts the normalised text, and writes it as parts."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.digest = hashlib.sha256()
        self.line_count = 0
        self.is_clean = True
        self._utf8 = codecs.getincrementaldecoder("utf-8")()
        self.parts: list[Part] = []
        self._file: BinaryIO | None = None
        self._path = Path()
        self._part_lines = 0
        self._part_bytes = 0

    def write(self, data: bytes) -> None:
        self.digest.update(data)
        self.is_clean = self.is_clean and self._looks_clean(data)
        if self._part_bytes + len(data) > PART_BYTES:
            cut = data.rfind(b"\n") + 1
            if cut:
                self._append(data[:cut])
                self.finish()
                data = data[cut:]
        if data:
            self._append(data)

    def _looks_clean(self, data: bytes) -> bool:
        if b"\0" in data:
            return False
        if data.isascii() and not self._utf8.getstate()[0]:
            return True
        try:
            self._utf8.decode(data)
        except UnicodeDecodeError:
            return False
        return True

    def _append(self, data: bytes) -> None:
        if self._file is None:
            self._path = self.place(f"part{len(self.parts):05d}.txt")
            self._file = self._path.open("wb")
        self._file.write(data)
        lines = data.count(b"\n")
        self.line_count += lines
        self._part_lines += lines
        self._part_bytes += len(data)

    def finish(self) -> None:
        if self._file is None:
            return
        self._file.close()
        first = self.line_count - self._part_lines + 1
        self.parts.append(Part(self._path, first, self._part_lines))
        self._file, self._part_lines, self._part_bytes = None, 0, 0


class _Worker:
    """Calls a function on queued chunks in one thread, in order."""

    def __init__(self, function: Callable[[bytes], None]) -> None:
        self._queue: queue.Queue[bytes | None] = queue.Queue(maxsize=8)
        self._function = function
        self._fault: OSError | None = None
        self._thread = threading.Thread(target=self._run, name="landing-writer", daemon=True)
        self._thread.start()

    def put(self, data: bytes) -> None:
        self._queue.put(data)

    def close(self) -> None:
        self._queue.put(None)
        self._thread.join()

    def check(self) -> None:
        if self._fault:
            raise self._fault

    def _run(self) -> None:
        while (data := self._queue.get()) is not None:
            if self._fault is None:
                try:
                    self._function(data)
                except OSError as fault:
                    self._fault = fault


def _mark_bytes(fault: UnicodeError) -> tuple[str, int]:
    """Keep undecodable bytes as lone surrogates: invalid UTF-8, so their line is quarantined."""
    if not isinstance(fault, UnicodeDecodeError):
        raise fault
    bad = fault.object[fault.start : fault.end]
    return "".join(chr(0xDC00 + byte) for byte in bad), fault.end


codecs.register_error(_MARKED, _mark_bytes)
