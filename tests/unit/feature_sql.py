"""A model of ``features/`` run by itself on frames: its own SQL and macros, without dbt.

For tests of what a model reads: milliseconds where a build takes seconds, and a changed copy of
the SQL needs no copy of the project.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace

import duckdb
import jinja2
import pandas as pd

from crm_pipeline.dbt_command import PROJECT

MACROS = ("portable", "definitions")


def rendered(model: str, *changes: tuple[str, str]) -> str:
    """Return a model's SQL for DuckDB, with texts of its source replaced.

    Raises:
        AssertionError: A text is not there: the model changed, and so must the test.
    """
    text = (PROJECT / "models" / "features" / f"{model}.sql").read_text()
    for honest, other in changes:
        assert honest in text, f"{model} no longer says {honest!r}: say here how it looks ahead"
        text = text.replace(honest, other)
    environment = jinja2.Environment()
    environment.globals |= {
        "return": lambda value: value,
        "ref": lambda name: name,
        "source": lambda schema, name: f"{schema}_{name}",
        "dbt": SimpleNamespace(type_string=lambda: "varchar"),
    }
    macros = "\n".join((PROJECT / "macros" / f"{name}.sql").read_text() for name in MACROS)
    module = environment.from_string(macros).module
    environment.globals["adapter"] = SimpleNamespace(
        dispatch=lambda name: getattr(module, f"duckdb__{name}")
    )
    return environment.from_string(f"{macros}\n{text}").render()


def features(
    tables: Mapping[str, pd.DataFrame], model: str, key: str, *changes: tuple[str, str]
) -> pd.DataFrame:
    """Return what a model makes of the tables that it reads, by name, in order of ``key``."""
    with duckdb.connect() as con:
        for name, frame in tables.items():
            con.register(name, frame)
        return con.execute(f"from ({rendered(model, *changes)}) order by {key}").df()
