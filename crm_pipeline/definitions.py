"""Everything below ``defs/``, bound to the settings' resources. Wiring only."""

from __future__ import annotations

from pathlib import Path

import dagster as dg

from crm_pipeline.progress import progress_logger
from crm_pipeline.resources.dbt import dbt_resource
from crm_pipeline.resources.home import Home
from crm_pipeline.resources.tracking import Tracking
from crm_pipeline.resources.warehouse import Warehouse
from crm_pipeline.settings import export_environment, load_settings


@dg.definitions
def defs() -> dg.Definitions:
    """Return the whole project: assets, checks, jobs, schedules, sensors, resources."""
    settings = load_settings()
    export_environment(settings)
    return dg.Definitions.merge(
        dg.load_from_defs_folder(path_within_project=Path(__file__).parent),
        dg.Definitions(
            resources={
                "home": Home(),
                "warehouse": Warehouse(
                    path=str(settings.warehouse),
                    scratch=str(settings.scratch),
                    memory_limit=settings.memory_limit,
                ),
                "dbt": dbt_resource(),
                "tracking": Tracking(folder=str(settings.home / "mlflow")),
            },
            loggers={"progress": progress_logger},
            # one writer, so nothing to gain from a process a step; and a run keeps its locks
            executor=dg.in_process_executor,
        ),
    )
