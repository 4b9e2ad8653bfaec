"""MLflow's store on disk, where it keeps absolute places: a home may be moved or restored.

MLflow writes the full path of every artifact into its database. A home that was copied from a
backup, or moved, would read the models of the old place, or find none.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

DATABASE = "mlflow.db"
_PLACES = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "storage_location"),
)


def artifact_location(folder: Path) -> str:
    """Return the place of all artifacts of the store in ``folder``, as MLflow writes it."""
    return (folder / "artifacts").absolute().as_uri()


def follow_home(folder: Path, experiment: str) -> bool:
    """Make the store in ``folder`` point to its own artifacts; return whether it did not.

    Args:
        folder: ``$CRM_HOME/mlflow``.
        experiment: The experiment whose location says where the store was before.
    """
    database = folder / DATABASE
    if not database.is_file():
        return False
    here = artifact_location(folder)
    with closing(sqlite3.connect(database, timeout=30)) as db, db:
        if not db.execute("select 1 from sqlite_master where name = 'experiments'").fetchone():
            return False
        row = db.execute(
            "select artifact_location from experiments where name = ?", [experiment]
        ).fetchone()
        if row is None or row[0] == here:
            return False
        for table, column in _PLACES:
            db.execute(
                f"update {table} set {column} = ? || substr({column}, length(?) + 1) "
                f"where {column} = ? or substr({column}, 1, length(?) + 1) = ? || '/'",
                [here, *[row[0]] * 4],
            )
    return True
