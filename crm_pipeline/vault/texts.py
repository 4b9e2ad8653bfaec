"""The one door through which a model reads free text: from the vault into a frame in memory.

Nothing that is read here is written anywhere: what a model keeps is numbers. Belongs here: finding
and decrypting texts by their place. What a text says is ``ml.satisfaction``'s business.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import duckdb

from crm_pipeline.settings import load_settings

if TYPE_CHECKING:
    import pandas as pd


def with_texts(con: duckdb.DuckDBPyConnection, comments: pd.DataFrame) -> pd.DataFrame:
    """Return ``comments`` with the column ``text``; null where the vault holds none.

    Call it with the warehouse's slot held, which is the vault's too.

    Args:
        con: The warehouse; its vault lies beside it.
        comments: Rows of ``features.comments``, with the place of each text.

    Raises:
        UserError: The master key is missing, or another one.
    """
    import pandas as pd

    from crm_pipeline.vault.store import FILE, open_vault

    settings = load_settings()
    row = con.execute(
        "select path from duckdb_databases() where database_name = current_database()"
    ).fetchone()
    home = Path(row[0]).parent if row and row[0] else settings.home
    empty = comments.assign(text=pd.Series([None] * len(comments), dtype=object))
    if comments.empty or not (home / FILE).is_file():
        return empty
    digests = con.execute(
        "select source, table_name as comment_table, file_name as comment_file, digest "
        "from control.current_files"
    ).df()
    placed = comments.merge(digests, on=["source", "comment_table", "comment_file"], how="left")
    found: dict[tuple[str, str, str, int], str] = {}
    with open_vault(home, settings.master_key) as vault:
        columns = placed[["source", "comment_table", "comment_column"]].dropna().drop_duplicates()
        for source, table, column in sorted(columns.itertuples(index=False, name=None)):
            for (digest, line), text in vault.texts(source, table, column).items():
                found[source, table, digest, line] = text
    places = zip(
        placed["source"], placed["comment_table"], placed["digest"], placed["comment_line"],
        strict=True,
    )  # fmt: skip
    texts = [found.get((s, t, d, -1 if pd.isna(n) else int(n))) for s, t, d, n in places]
    return comments.assign(text=pd.Series(texts, dtype=object, index=comments.index))
