"""Vega, Vega-Lite and vega-embed as one script, made from what vl-convert carries.

It takes seconds to make and changes only with vl-convert, so that it is kept in the checkout's
``build/`` folder; ``python -m crm_pipeline.report.bundle``, which ``make setup`` calls, makes it.
"""

from __future__ import annotations

import contextlib
import os
from importlib.metadata import version
from pathlib import Path

from crm_pipeline.settings import CHECKOUT


def bundle_file() -> Path:
    """Return where the script of the installed version is kept."""
    return CHECKOUT / "build" / f"vega-{version('vl-convert-python')}.js"


def bundle() -> str:
    """Return the script, which is made if it is not there yet."""
    file = bundle_file()
    if file.is_file():
        return file.read_text(encoding="utf-8")
    import vl_convert

    made = vl_convert.javascript_bundle()  # type: ignore[call-arg]
    # an installation that may not be written to makes it every time
    with contextlib.suppress(OSError):
        file.parent.mkdir(exist_ok=True)
        temporary = file.with_name(f".{file.name}.{os.getpid()}")
        temporary.write_text(made, encoding="utf-8")
        temporary.replace(file)
    return made


if __name__ == "__main__":
    bundle()
