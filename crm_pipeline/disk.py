"""A full disk, told as such: whoever met it, Python or DuckDB, and wherever."""

from __future__ import annotations

import errno
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb

from crm_pipeline.errors import UserError

_NUMBERS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_WORDS = re.compile(
    "no space left|disk quota exceeded|file too large|max_temp_directory_size", re.IGNORECASE
)


def is_full(fault: BaseException | None) -> bool:
    """Whether an error, or one that it followed from, is that nothing more can be written."""
    while fault is not None:
        if isinstance(fault, OSError) and fault.errno in _NUMBERS:
            return True
        if isinstance(fault, duckdb.Error) and _WORDS.search(str(fault)):
            return True
        fault = fault.__cause__ or fault.__context__
    return False


@contextmanager
def plain_if_full(home: Path) -> Iterator[None]:
    """Turn the errors of a full disk in the block into one message.

    Raises:
        UserError: The disk that holds ``home`` (or a quota, or a limit of the process) is full.
    """
    try:
        yield
    except (OSError, duckdb.Error) as fault:
        if not is_full(fault):
            raise
        raise UserError(
            f"nothing more can be written below {home}: its disk is full{_free(home)}, or a quota "
            "or a limit on file sizes is reached. Make room there, or move CRM_HOME to a larger "
            "disk, then run again; what had landed and what is published are whole."
        ) from fault


def _free(home: Path) -> str:
    try:
        usage = shutil.disk_usage(home)
    except OSError:
        return ""
    return f" ({usage.free >> 20:,} MiB of {usage.total >> 20:,} MiB are free)"
