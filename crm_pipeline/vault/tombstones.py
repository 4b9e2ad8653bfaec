"""Tombstones outlive a restore: who was forgotten since a backup stays forgotten.

No key is needed for that: a tombstone is the keyed hash by which the backup's vault knows the
person as well, if both were made with one master key.
"""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

from crm_pipeline.vault.rewriting import rewrite
from crm_pipeline.vault.store import connect


def keep_tombstones(held: Path, staged: Path) -> int:
    """Write the tombstones of the vault ``held`` into the copy ``staged``; return how many.

    The keys and values of whoever was forgotten since the copy was made leave it.
    """
    if not held.is_file() or not staged.is_file():
        return 0
    with closing(connect(staged)) as con:
        place = str(held).replace("'", "''")
        con.execute(f"attach '{place}' as held (read_only)")
        con.begin()
        row = con.execute(
            "insert into tombstones select * from held.tombstones "
            "where (kind, identity) not in (select (kind, identity) from tombstones)"
        ).fetchone()
        for table in ("keys", "sealed"):
            con.execute(
                f"delete from {table} where person in (select identity from tombstones "
                "where kind = 'customer')"
            )
        con.commit()
        con.execute("detach held")
    if added := int(row[0]) if row else 0:
        rewrite(staged)
    return added
