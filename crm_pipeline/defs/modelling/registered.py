"""Which models and analyses there are: every module of ``models/`` and of ``analyses/``."""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules
from types import ModuleType
from typing import Any

from crm_pipeline.defs.modelling import analyses, models
from crm_pipeline.defs.modelling.spec import AnalysisSpec, ModelSpec


def _specs(package: ModuleType) -> tuple[Any, ...]:
    names = sorted(module.name for module in iter_modules(package.__path__))
    return tuple(import_module(f"{package.__name__}.{name}").SPEC for name in names)


MODELS: tuple[ModelSpec, ...] = _specs(models)
ANALYSES: tuple[AnalysisSpec, ...] = _specs(analyses)
