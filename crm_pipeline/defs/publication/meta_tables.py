"""The ``meta`` schema of the published file: its tables' columns, types and meanings, as data."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class MetaTable:
    """One ``meta`` table: what it holds and, column by column, type and meaning."""

    description: str
    columns: dict[str, tuple[str, str]]

    @property
    def types(self) -> dict[str, str]:
        """Column -> DuckDB type."""
        return {name: kind for name, (kind, _) in self.columns.items()}

    @property
    def meanings(self) -> dict[str, str]:
        """Column -> meaning."""
        return {name: meaning for name, (_, meaning) in self.columns.items()}


_SOURCE = ("varchar", "Source, as its folder below dbt_project/models/staging is called.")
_TABLE = ("varchar", "Table of the source.")
_FILE = ("varchar", "Name of the file in the inbox.")
_SCHEMA = ("varchar", "Schema of the published table.")
_NAME = ("varchar", "Name of the published table.")

META_TABLES = {
    "build": MetaTable(
        "What this publication was made from. Grain: one row.",
        {
            "as_of": ("date", "Business day up to and including which facts count."),
            "built_at": ("timestamp", "When the publication was written, UTC."),
            "horizon_days": ("integer", "Days without an order after which a customer churned."),
            "code_version": ("varchar", "Package version and digest of code and SQL."),
            "sources": ("varchar", "Enabled sources, comma-separated."),
            "champions": ("varchar", "Model and version of every champion, as JSON."),
            "input_digest": ("varchar", "SHA-256 over the digests of all landed contents."),
            "time_zone": ("varchar", "Business time zone."),
            "currency": ("varchar", "Reporting currency; null where no source has amounts."),
        },
    ),
    "dictionary": MetaTable(
        "Every published column. Grain: one row a column.",
        {
            "table_schema": _SCHEMA,
            "table_name": _NAME,
            "column_name": ("varchar", "Name of the column."),
            "data_type": ("varchar", "DuckDB type."),
            "unit": ("varchar", "Unit, where the column has one."),
            "description": ("varchar", "Meaning."),
        },
    ),
    "landed_files": MetaTable(
        "What counts: each distinct content that is some file's newest version. "
        "Grain: source, table, content.",
        {
            "source": _SOURCE,
            "table_name": _TABLE,
            "file_name": _FILE,
            "digest": ("varchar", "SHA-256 of the content, decompressed and decoded."),
            "rows_read": ("bigint", "Records in the file; always accepted plus quarantined."),
            "rows_accepted": ("bigint", "Records that fit the source's contract."),
            "rows_quarantined": ("bigint", "Records set aside, each with its reason."),
            "landed_at": ("timestamp", "When the content first landed, UTC."),
            "contract_version": ("integer", "Version of the contract that it was read by."),
        },
    ),
    "quarantine": MetaTable(
        "What was set aside and why; values stay behind. Grain: source, table, file, reason.",
        {
            "source": _SOURCE,
            "table_name": _TABLE,
            "file_name": _FILE,
            "reason": ("varchar", "Why the records do not fit."),
            "row_count": ("bigint", "Records with this reason."),
        },
    ),
    "quarantine_lines": MetaTable(
        "Every fault of every line that was set aside, so that it can be found in its file; values "
        "stay behind. Grain: source, table, file, line, column.",
        {
            "source": _SOURCE,
            "table_name": _TABLE,
            "file_name": _FILE,
            "line_number": ("bigint", "Line of the file, 1 is its first; of Parquet the row."),
            "column_name": ("varchar", "Column that does not fit; null where the line does not."),
            "reason": ("varchar", "Why it does not fit."),
        },
    ),
    "schema_drift": MetaTable(
        "How the columns of delivered files differ from the declared ones; no values. "
        "Grain: source, table, content, kind, column, time seen.",
        {
            "source": _SOURCE,
            "table_name": _TABLE,
            "file_name": _FILE,
            "digest": ("varchar", "SHA-256 of the content."),
            "kind": (
                "varchar",
                "new_column and missing_column landed; missing_required, renamed_column and "
                "retyped_column had the file refused.",
            ),
            "column_name": ("varchar", "The column, as the header names it."),
            "expected": ("varchar", "The declared type; empty for a new column."),
            "found": ("varchar", "What the file has instead; empty for a missing column."),
            "seen_at": ("timestamp", "When it was seen first, UTC."),
            "resolved_at": (
                "timestamp",
                "When its contract came to allow it, or the file was gone; null before.",
            ),
            "is_standing": ("boolean", "Whether it is so of a file that counts or is refused."),
        },
    ),
    "contract_versions": MetaTable(
        "Every contract that a source's table was ever read by. Grain: source, table, version.",
        {
            "source": _SOURCE,
            "table_name": _TABLE,
            "version": ("integer", "Number of the contract, from 1 in order of appearance."),
            "contract_digest": ("varchar", "SHA-256 of what decides how files are read."),
            "columns": ("varchar", "The declared columns, as JSON."),
            "format": ("varchar", "How the files are read, as JSON."),
            "first_seen_at": ("timestamp", "When landing first used it, UTC."),
            "content_count": ("bigint", "Contents that count and were read by it."),
        },
    ),
    "quality": MetaTable(
        "The last result of every check. Grain: check and table.",
        {
            "check_name": ("varchar", "Name of the check, as in the Dagster UI."),
            "table_name": ("varchar", "What it guards: schema.table."),
            "severity": ("varchar", "error (stops the publication) or warn."),
            "passed": ("boolean", "Whether it held."),
            "observed": ("varchar", "Counts it saw, as JSON; never values."),
            "checked_at": ("timestamp", "When, UTC."),
            "owner": ("varchar", "Team that answers for it."),
        },
    ),
    "check_bounds": MetaTable(
        "What resembles_its_history learned of each enabled raw table, and the newest figures it "
        "held against that. Grain: source, table, measure, column.",
        {
            "source": _SOURCE,
            "table_name": _TABLE,
            "measure": ("varchar", "What was measured; docs/operations.md lists the measures."),
            "column_name": ("varchar", "Of which column; null is the table."),
            "observed": ("double", "The newest figure."),
            "lower": ("double", "Least figure that is usual; null is no limit."),
            "upper": ("double", "Greatest figure that is usual; null is no limit."),
            "history": ("integer", "Earlier figures it was learned from."),
            "needed": ("integer", "Earlier figures it takes; with fewer nothing is judged."),
            "is_judged": ("boolean", "Whether there was history enough."),
            "is_within": ("boolean", "Whether nothing speaks against the figure."),
        },
    ),
    "runs_since": MetaTable(
        "Runs after this publication that were to replace it and did not, so that it stays. "
        "Grain: one row a run; empty where it is the newest attempt.",
        {
            "run_id": ("varchar", "Run, the first eight letters of its id in the Dagster UI."),
            "ended_at": ("timestamp", "When it ended, UTC."),
            "job": ("varchar", "Job."),
            "outcome": ("varchar", "refused (by a blocking check) or failed."),
            "reason": ("varchar", "Failing checks with owner and meaning, else failed steps."),
        },
    ),
    "freshness": MetaTable(
        "How much is in each table and how recent it is. Grain: one row a table.",
        {
            "table_schema": _SCHEMA,
            "table_name": _NAME,
            "row_count": ("bigint", "Rows."),
            "latest_event_at": ("timestamp", "Latest event in the table, UTC, where it has one."),
        },
    ),
    "audience_ledger": MetaTable(
        "What was sent of each audience to each destination, as counts; who it was, only "
        "activation.duckdb knows. Grain: audience, destination.",
        {
            "audience": ("varchar", "Audience, as in marts.audiences."),
            "destination": ("varchar", "Destination."),
            "held_count": ("bigint", "People that the destination holds, or may hold."),
            "unsure_count": (
                "bigint",
                "Of those, people in a batch whose end nobody saw: send again.",
            ),
            "delivered_batches": ("bigint", "Batches that were taken."),
            "dead_batches": ("bigint", "Batches that were given up."),
            "sent_count": ("bigint", "People added or changed in the batches that were taken."),
            "removed_count": ("bigint", "People taken off in them."),
            "last_delivered_at": ("timestamp", "When a batch was last taken, UTC."),
            "last_as_of": ("date", "As-of date of the newest publication that was sent."),
        },
    ),
    "model_cards": MetaTable(
        "The card of every version that ever ruled: data, period, metrics, limits. "
        "Grain: model, version.",
        {
            "model": ("varchar", "Model."),
            "model_version": ("varchar", "Version, derived from data, settings and code."),
            "card": ("varchar", "The card, Markdown."),
        },
    ),
    "model_drift": MetaTable(
        "How far a ruling model's scores have moved since it began to rule. Grain: model.",
        {
            "model": ("varchar", "Model."),
            "model_version": ("varchar", "Version that rules."),
            "compared_from": ("date", "As-of date of the version's first remembered scores."),
            "compared_to": ("date", "As-of date of the newest ones."),
            "population_stability_index": (
                "double",
                "Population stability index of the scores; 0 = as they were.",
            ),
            "reading": ("varchar", "stable, noticeable (from .1) or drifted (from .25)."),
        },
    ),
    "model_scorecard": MetaTable(
        "Past scores, graded once their horizon was over against what then happened. "
        "Grain: model, version, as-of, metric.",
        {
            "model": ("varchar", "Model."),
            "model_version": ("varchar", "Version that had scored."),
            "as_of": ("date", "As-of date of the scores."),
            "horizon_days": ("integer", "Days after it that they spoke of."),
            "metric": ("varchar", "Figure; is_off is 1 where what happened could not be chance."),
            "value": ("double", "The scores' figure."),
            "baseline_value": (
                "double",
                "The same of a naive prediction: the observed rate, or the period before again.",
            ),
        },
    ),
    "score_history": MetaTable(
        "Past scores: of each month the last, two years back. Grain: model, as-of, customer.",
        {
            "model": ("varchar", "Model."),
            "as_of": ("date", "As-of date of the score."),
            "customer_key": ("varchar", "Customer."),
            "model_version": ("varchar", "Version that scored."),
            "horizon_days": ("integer", "Days after the as-of date that it spoke of."),
            "score": ("double", "churn_probability, or clv_amount."),
        },
    ),
    "model_evaluations": MetaTable(
        "Each model's figures on a later period that it never saw, beside baseline and champion. "
        "Grain: model, version, period, metric.",
        {
            "model": ("varchar", "Model."),
            "model_version": ("varchar", "Version, derived from data, settings and code."),
            "as_of": ("date", "As-of date of the training."),
            "period": ("varchar", "Period or data the figure speaks of."),
            "metric": ("varchar", "Figure."),
            "value": ("double", "The candidate's."),
            "baseline_value": ("double", "The naive baseline's, where it has one."),
            "champion_value": ("double", "The champion's on the same rows, where there is one."),
            "decision": ("varchar", "promoted or refused."),
        },
    ),
    "publications": MetaTable(
        "Every publication that was made, this one included, and what each was made from: what "
        "`crm reproduce` makes it again from. Grain: one row a publication.",
        {
            "publication": ("integer", "Number of the publication, counting up."),
            "run_id": ("varchar", "Run that made it, as in the Dagster UI."),
            "built_at": ("timestamp", "When it was written, UTC."),
            "as_of": ("date", "Business day up to and including which facts count."),
            "landing_number": ("bigint", "Last entry of the landing ledger that it knows."),
            "settings": ("varchar", "The settings that decide a number, as JSON."),
            "champions": ("varchar", "Model and version of every champion, as JSON."),
            "model_statuses": ("varchar", "Model and status of its newest training, as JSON."),
            "code_version": ("varchar", "Package version and digest of code and SQL."),
            "digests": ("varchar", "SHA-256 of every Parquet file, as JSON."),
        },
    ),
    "restatements": MetaTable(
        "Every figure of marts.kpi_monthly that was published otherwise before, its month being "
        "complete. Grain: publication, month, metric.",
        {
            "publication": ("integer", "The publication that changed the figure."),
            "restated_at": ("timestamp", "When it was written, UTC."),
            "run_id": ("varchar", "Run that made it, as in the Dagster UI."),
            "metric": ("varchar", "Figure: a column of marts.kpi_monthly."),
            "month": ("date", "Month of the figure, its first day."),
            "old_value": ("double", "As last published; null where it was empty or not there."),
            "new_value": ("double", "As published now; null where it is empty or gone."),
            "as_of_before": ("date", "As-of date of the publication with the old value."),
            "as_of_after": ("date", "As-of date of the publication with the new value."),
            "files": (
                "varchar",
                "Files landed, corrected or retracted meanwhile that touch the month (rates and "
                "new customers: or an earlier one), as source/table/file.",
            ),
            "reason": (
                "varchar",
                "What changed and may have moved it: data, settings, code; comma-separated.",
            ),
        },
    ),
    "fact_knowledge": MetaTable(
        "When each fact happened and when it became known; what no longer counts is not listed. "
        "Grain: source, table, document.",
        {
            "source": _SOURCE,
            "table_name": _TABLE,
            "document_kind": ("varchar", "order, or file where the rows name no order."),
            "document": ("varchar", "The source's own number of it, or the file's name."),
            "happened_at": ("timestamp", "Its first event, UTC; null where the rows have no time."),
            "known_at": ("timestamp", "When the first of it landed, UTC."),
            "last_changed_at": ("timestamp", "When what last changed it landed, UTC."),
            "is_restated": ("boolean", "Whether it changed after it had become known."),
        },
    ),
    "metrics": MetaTable(
        "Every metric: what it means and where it is; its figures by month are in "
        "marts.metrics_monthly, by anything else `crm metric` has them. Grain: one row a metric.",
        {
            "metric": ("varchar", "Name, as `crm metric` takes it."),
            "label": ("varchar", "What a page calls it."),
            "area": ("varchar", "purchases, marketing, sales, service, satisfaction or web."),
            "unit": (
                "varchar",
                "amount in the company's currency, count, rate from 0 to 1, days, hours, seconds, "
                "or number: a mean, an index or a ratio.",
            ),
            "description": ("varchar", "The definition."),
            "published_in": (
                "varchar",
                "Columns that hold it, schema.table.column, comma-separated; empty where only "
                "marts.metrics_monthly does.",
            ),
        },
    ),
    "sample_queries": MetaTable(
        "Questions with the query that answers them; the tests run each. Grain: one row a query.",
        {
            "area": ("varchar", "What the question is about; docs/sample-queries.md goes by it."),
            "title": ("varchar", "Short name."),
            "question": ("varchar", "The question."),
            "sql": ("varchar", "The query, for this file."),
        },
    ),
}
