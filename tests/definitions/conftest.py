"""The whole project, resolved once."""

from __future__ import annotations

import dagster as dg
import pytest


@pytest.fixture(scope="session")
def repository(tmp_path_factory: pytest.TempPathFactory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CRM_HOME", str(tmp_path_factory.mktemp("home")))
        from crm_pipeline.definitions import defs

        resolved = defs()
        dg.Definitions.validate_loadable(resolved)
        yield resolved.get_repository_def()
