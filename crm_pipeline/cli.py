"""``crm``: the few commands that Dagster's own command line lacks. Parsing only.

What the commands do is in ``crm_pipeline/commands/``, imported when one is called: `crm query`
must not wait for Dagster to be imported.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from importlib import import_module

from crm_pipeline.errors import UserError


def _command(path: str) -> Callable[[argparse.Namespace], int]:
    module, _, name = path.partition(":")

    def call(options: argparse.Namespace) -> int:
        function = getattr(import_module(f"crm_pipeline.commands.{module}"), name)
        return int(function(options))

    return call


def _count(text: str) -> int:
    if not text.isdigit():
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of rows; write it as 10")
    return int(text)


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of all commands."""
    parser = argparse.ArgumentParser(
        prog="crm", description="Customer analytics you can trace, reproduce and defend."
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def add(name: str, path: str, text: str) -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=text, description=text)
        command.set_defaults(call=_command(path))
        return command

    run = add(
        "run", "run:run", "land what is in the inbox and run everything, publication included"
    )
    run.add_argument("--source", action="append", default=[], metavar="NAME", dest="sources")
    run.add_argument("--as-of", metavar="DATE", help="business day, as 2026-11-22")
    run.add_argument("--full-refresh", action="store_true", help="rebuild incremental tables")

    demo = add("demo", "demo:demo", "make the demo company, run everything, say where to look")
    demo.add_argument("--customers", type=int, default=5000)
    demo.add_argument("--years", type=int, default=2)

    sample = add("sample", "demo:sample", "put a public sample that a package carries in the inbox")
    sample.add_argument("name", choices=["complete_journey"])

    source = add("source", "source:source", "write or try a sources file")
    source.add_argument("action", choices=["draft", "check"])
    source.add_argument("file", metavar="FILE")
    source.add_argument("--source", metavar="NAME", help="default: the name of FILE's folder")

    status = add("status", "status:status", "freshness, checks, quarantine, champions")
    status.add_argument("--json", action="store_true")

    query = add("query", "query:query", "ask the published file, read-only")
    query.add_argument("sql", metavar="SQL")
    query.add_argument("--format", choices=["table", "csv", "json"], default="table")

    metric = add("metric", "metric:metric", "figures by name, as net_amount --by month")
    metric.add_argument("names", metavar="NAME[,NAME...]")
    metric.add_argument("--by", metavar="NAME[,NAME...]", help="periods and dimensions")
    metric.add_argument("--where", action="append", default=[], metavar="CONDITION")
    metric.add_argument("--format", choices=["table", "csv", "json"], default="table")
    metric.add_argument("--sql", action="store_true", help="print the SQL instead of running it")

    metrics = add("metrics", "metric:metrics", "list the metrics with their definitions")
    metrics.add_argument("name", nargs="?", metavar="NAME", help="one, and what it can be asked by")
    metrics.add_argument("--json", action="store_true")

    export = add("export", "export:export", "published tables as Excel, CSV or Parquet files")
    export.add_argument("tables", nargs="*", metavar="TABLE", help="default: all marts and scores")
    export.add_argument("--format", choices=["xlsx", "csv", "parquet"], default="xlsx")
    export.add_argument("--to", metavar="DIR", required=True, help="made if it is not there")

    audiences = add("audiences", "audience:audiences", "list the audiences")
    audiences.add_argument("--json", action="store_true")

    audience = add(
        "audience", "audience:audience", "plan or send an audience, or say what was sent"
    )
    audience.add_argument("action", choices=["plan", "send", "status"])
    audience.add_argument("name", nargs="?", metavar="NAME", help="as in `crm audiences`")
    audience.add_argument("--to", metavar="DEST", help="default: every destination it may go to")
    audience.add_argument("--dry-run", action="store_true", help="show what a send would do")
    audience.add_argument(
        "--accept-drop", action="store_true", help="send though the guard sees an unusual drop"
    )
    audience.add_argument("--json", action="store_true", help="of status")

    retract = add("retract", "source:retract", "take back what a landed file brought")
    retract.add_argument("file", metavar="SOURCE/FILE")

    forget = add("forget", "forget:forget", "erase a customer: the key now, the rows next run")
    forget.add_argument("customer_key", metavar="CUSTOMER_KEY")

    doctor = add("doctor", "doctor:doctor", "examine the state; say or do what is needed")
    doctor.add_argument("--fix", action="store_true", help="do what is safe; deletes no data")

    backup = add("backup", "backup:backup", "copy the state and verify the copy, also during a run")
    backup.add_argument("--to", metavar="DIR", help="default: $CRM_HOME/backups/<time, UTC>")
    backup.add_argument("--history", action="store_true", help="Dagster's run history too")

    restore = add("restore", "backup:restore", "verify a backup and put it in a home's place")
    restore.add_argument("backup", metavar="BACKUP")
    restore.add_argument("--into", metavar="HOME", help="default: $CRM_HOME")
    restore.add_argument(
        "--force", action="store_true", help="replace existing state, which is kept aside"
    )

    rollback = add("rollback", "doctor:rollback", "list the last publications, or go back to one")
    rollback.add_argument("--to", type=int, metavar="NUMBER")

    champion = add("champion", "champion:champion", "list the models that rule, or go back to one")
    champion.add_argument("model", nargs="?", metavar="MODEL")
    champion.add_argument(
        "--back", action="store_true", help="let the version that ruled before rule again"
    )
    champion.add_argument("--to", metavar="VERSION", help="let this earlier version rule again")

    quarantine = add("quarantine", "quarantine:quarantine", "lines that were set aside, and why")
    quarantine.add_argument("--source", metavar="NAME")
    quarantine.add_argument("--file", metavar="NAME", help="as in the inbox")
    quarantine.add_argument("--limit", type=_count, metavar="N")
    quarantine.add_argument("--format", choices=["table", "csv", "json"], default="table")

    explain = add("explain", "explain:explain", "from a published figure to file and line")
    explain.add_argument("what", metavar="CUSTOMER_KEY|METRIC")
    explain.add_argument("month", nargs="?", metavar="MONTH", help="of a metric, as 2026-11")
    explain.add_argument("--limit", type=_count, default=10, metavar="N", help="rows shown (10)")

    again = add(
        "reproduce", "reproduce:reproduce", "make a past report again, aside, and compare it"
    )
    again.add_argument("build", nargs="?", type=int, metavar="BUILD", help="of meta.publications")
    again.add_argument("--as-of", metavar="DATE", help="business day, as 2026-11-22")
    again.add_argument("--known-at", metavar="TIME", help="UTC, as 2026-11-01T12:00")
    again.add_argument("--into", metavar="DIR", required=True, help="a new or empty folder")

    dev = add("dev", "run:dev", "start the Dagster UI on this machine's loopback address")
    dev.add_argument("--port", type=int)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; a user's mistake is one line on standard error and exit code 2."""
    options = build_parser().parse_args(arguments)
    try:
        return int(options.call(options))
    except UserError as error:
        print(f"crm: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:
        return 0
    except KeyboardInterrupt:
        print("crm: interrupted; what was published stays as it was.", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
