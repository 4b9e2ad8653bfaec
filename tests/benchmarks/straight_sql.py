"""The SQL of a dbt stage executed straight in one DuckDB connection, for comparison.

    python -m tests.benchmarks.straight_sql WAREHOUSE TARGET_FOLDER

``WAREHOUSE`` is a copy, which is changed: what dbt made in it is dropped, then every model, seed
and data test that the stage's ``run_results.json`` lists is executed in the same order, with the
settings of ``profiles.yml``. Of an incremental model that was built in part, the part is made
and the table stays: its SQL may read it. Prints seconds, CPU seconds and the slowest statements
as JSON.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import duckdb
import yaml

from tests.benchmarks.datasets import CHECKOUT

PROJECT = CHECKOUT / "dbt_project"


def connect(warehouse: Path) -> duckdb.DuckDBPyConnection:
    """Open a warehouse as dbt does, with the settings of ``profiles.yml``."""
    profile = yaml.safe_load((PROJECT / "profiles.yml").read_text(encoding="utf-8"))
    output = profile["crm"]["outputs"]["duckdb"]
    con = duckdb.connect(str(warehouse), config=_plain(output.get("config_options", {})))
    for name, value in {"memory_limit": "4GB", **_plain(output.get("settings", {}))}.items():
        con.execute(f"set {name} = '{value}'")
    return con


def _plain(given: dict[str, Any]) -> dict[str, Any]:
    """Those that no environment variable decides."""
    return {name: value for name, value in given.items() if "{{" not in str(value)}


def statements(target: Path, con: duckdb.DuckDBPyConnection) -> list[tuple[str, str]]:
    """Return (node, SQL) of a stage, in the order in which dbt began them."""
    nodes = json.loads((target / "manifest.json").read_bytes())["nodes"]
    run = json.loads((target / "run_results.json").read_bytes())
    results = [result for result in run["results"] if result["timing"]]
    results.sort(key=lambda result: result["timing"][-1]["started_at"])
    found = []
    for result in results:
        name = result["unique_id"]
        node = nodes[name]
        relation = node.get("relation_name")
        kind = "view" if node["config"]["materialized"] == "view" else "table"
        if node["resource_type"] == "test":
            sql = f"select count(*) from ({result['compiled_code']}\n)"
        elif node["resource_type"] == "seed":
            file = PROJECT / node["original_file_path"]
            types = ", ".join(
                f"'{column}': '{type_}'"
                for column, type_ in con.execute(
                    "select column_name, data_type from duckdb_columns() "
                    "where schema_name = ? and table_name = ?",
                    [node["schema"], node["alias"]],
                ).fetchall()
            )
            sql = (
                f"create or replace table {relation} as from read_csv('{file}', "
                f"header = true, types = {{{types}}})"
            )
        elif _stays(node, run):
            sql = f"create or replace temp table part as {result['compiled_code']}"
        else:
            sql = f"create or replace {kind} {relation} as {result['compiled_code']}"
        found.append((name, sql))
    return found


def _stays(node: dict[str, Any], run: dict[str, Any]) -> bool:
    return node["config"]["materialized"] == "incremental" and not run["args"].get("full_refresh")


def clear(con: duckdb.DuckDBPyConnection, target: Path) -> None:
    """Drop what the stage makes, so that both sides begin with what landed."""
    nodes = json.loads((target / "manifest.json").read_bytes())["nodes"]
    run = json.loads((target / "run_results.json").read_bytes())
    made = [nodes[result["unique_id"]] for result in run["results"]]
    for node in made:
        is_relation = node.get("relation_name") and node["resource_type"] != "test"
        if is_relation and not _stays(node, run):
            kind = "view" if node["config"]["materialized"] == "view" else "table"
            con.execute(f"drop {kind} if exists {node['relation_name']} cascade")
    for schema in sorted({node["schema"] for node in made if node["resource_type"] != "test"}):
        con.execute(f"create schema if not exists {schema}")
    con.execute("checkpoint")


def execute(warehouse: Path, target: Path) -> dict[str, Any]:
    """Execute the stage; return seconds, CPU seconds and the slowest statements."""
    with connect(warehouse) as con:
        work = statements(target, con)
        clear(con, target)
        begin, cpu = time.perf_counter(), time.process_time()
        took = {}
        for name, sql in work:
            start = time.perf_counter()
            con.execute(sql).fetchall()
            took[name] = time.perf_counter() - start
        seconds, used = time.perf_counter() - begin, time.process_time() - cpu
    slowest = sorted(took.items(), key=lambda item: -item[1])[:12]
    tests = sum(value for name, value in took.items() if name.startswith("test."))
    return {
        "seconds": seconds,
        "cpu_seconds": used,
        "statements": len(work),
        "tests_seconds": tests,
        "slowest": {name: round(value, 3) for name, value in slowest},
    }


if __name__ == "__main__":
    print(json.dumps(execute(Path(sys.argv[1]), Path(sys.argv[2]))))
