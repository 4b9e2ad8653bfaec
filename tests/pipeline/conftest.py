"""Two companies, each made once a session by the real command: one large enough for models."""

from __future__ import annotations

from pathlib import Path

import dagster as dg
import pytest

from tests.pipeline.support import copy_home, crm, environment, succeeded

CUSTOMERS = 1500
TINY = 120


@pytest.fixture(scope="session")
def demo_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home after ``crm demo``, with three champions. Read it; to change it, copy it."""
    home = tmp_path_factory.mktemp("demo") / "home"
    succeeded(crm(home, "demo", "--customers", str(CUSTOMERS)))
    return home


@pytest.fixture(scope="session")
def tiny_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home after ``crm demo`` with too few customers for any model. Read it, or copy it."""
    home = tmp_path_factory.mktemp("tiny") / "home"
    succeeded(crm(home, "demo", "--customers", str(TINY)))
    return home


@pytest.fixture(scope="session")
def again_home(demo_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the demo home after ``crm run`` on the same inbox. Read it; to change it, copy."""
    home = copy_home(demo_home, tmp_path_factory.mktemp("again") / "home")
    succeeded(crm(home, "run"))
    return home


@pytest.fixture(scope="session")
def repository(tmp_path_factory: pytest.TempPathFactory):
    """All definitions, resolved for a home of their own."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment(tmp_path_factory.mktemp("definitions")).items():
            if name.startswith("CRM_"):
                patch.setenv(name, value)
        from crm_pipeline.definitions import defs

        resolved = defs()
        dg.Definitions.validate_loadable(resolved)
        return resolved.get_repository_def()


@pytest.fixture
def demo_copy(demo_home: Path, tmp_path: Path) -> Path:
    """The demo company's home, to be changed."""
    return copy_home(demo_home, tmp_path / "home")


@pytest.fixture
def tiny_copy(tiny_home: Path, tmp_path: Path) -> Path:
    """The tiny company's home, to be changed."""
    return copy_home(tiny_home, tmp_path / "home")
