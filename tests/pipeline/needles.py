"""Looking for known texts in any encoding, in any file: the search of the identifier test."""

from __future__ import annotations

import base64
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from urllib.parse import quote

import pyarrow as pa

from tests.pipeline.identifiers import parts_of
from tests.pipeline.patterns import Patterns

_ENCODINGS = ("utf-8", "utf-16-le", "utf-16-be", "latin-1", "gb18030")
_MAGICS = (b"\x1f\x8b\x08", b"\x28\xb5\x2f\xfd", b"\x78\x01", b"\x78\x9c", b"\x78\xda")
_MOST = 1 << 26


def _forms(text: str) -> Iterator[bytes]:
    """Yield what a text may look like, case left as it is."""
    for encoding in _ENCODINGS:
        try:
            plain = text.encode(encoding)
        except UnicodeEncodeError:
            continue
        yield plain
        yield plain.hex().encode()
        yield plain.hex().upper().encode()
        for shift in range(3):
            # what stands before decides which of three texts it becomes; the ends depend on it
            coded = base64.b64encode(b"\0" * shift + plain)
            yield coded[4 if shift else 0 : -4]
            yield coded[4 if shift else 0 : -4].translate(bytes.maketrans(b"+/", b"-_"))
    yield quote(text).encode()
    yield text.encode("unicode_escape")


class Needles:
    """Known texts, to be looked for."""

    def __init__(self, texts: Iterable[str]) -> None:
        self.texts = sorted(set(texts))
        self._exact: dict[bytes, str] = {}
        self._folded: dict[bytes, str] = {}
        for text in self.texts:
            for form in _forms(text):
                if len(form) >= 6:
                    self._exact[form] = text
            for variant in {text.lower(), text.casefold()}:
                for encoding in _ENCODINGS:
                    form = variant.encode(encoding, "ignore").lower()
                    if len(form) >= 6:
                        self._folded[form] = text
        self._exact_patterns, self._folded_patterns = Patterns(self._exact), Patterns(self._folded)

    def in_bytes(self, data: bytes) -> set[str]:
        found = {self._exact[form] for _, form in self._exact_patterns.places(data)}
        small = data.lower()
        return found | {self._folded[form] for _, form in self._folded_patterns.places(small)}

    def in_file(self, file: Path) -> set[str]:
        found: set[str] = set()
        for part in parts_of(file):
            data = part if isinstance(part, bytes) else part.encode("utf-8", "surrogatepass")
            found |= self.in_bytes(data)
            for member in _unpacked(data):
                found |= self.in_bytes(member)
        return found

    def below(self, home: Path) -> dict[str, set[str]]:
        """File -> texts that it holds, for every file of a home outside its inbox."""
        found = {}
        for file in sorted(home.rglob("*")):
            name = file.relative_to(home).as_posix()
            if not file.is_symlink() and file.is_file() and not name.startswith("inbox/"):
                if texts := self.in_file(file):
                    found[name] = texts
        return found


def _unpacked(data: bytes) -> Iterator[bytes]:
    """Yield what begins like something compressed anywhere in the data and can be unpacked."""
    for magic in _MAGICS:
        at = data.find(magic)
        while at >= 0:
            piece = data[at : at + _MOST]
            try:
                if magic == _MAGICS[1]:
                    yield pa.input_stream(pa.py_buffer(piece), compression="zstd").read()
                else:
                    member = zlib.decompressobj(wbits=47).decompress(piece, _MOST)
                    yield member
            except (zlib.error, OSError, pa.ArrowException):
                pass
            at = data.find(magic, at + 1)
