"""The settings as a resource, so that an asset's inputs show in its signature."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg

from crm_pipeline.disk import plain_if_full
from crm_pipeline.errors import UserError
from crm_pipeline.settings import Settings, load_settings, prepare_home


class Home(dg.ConfigurableResource):
    """One company's home: ``settings`` reads it, with the folders in place."""

    def settings(self) -> Settings:
        """Return the settings, creating ``$CRM_HOME``'s folders if need be."""
        settings = load_settings()
        prepare_home(settings)
        return settings


@contextmanager
def plain_failures() -> Iterator[None]:
    """Turn a user's mistake, or a full disk, into a failure that says so, without a retry."""
    try:
        with plain_if_full(load_settings().home):
            yield
    except UserError as error:
        raise dg.Failure(description=str(error), allow_retries=False) from None
