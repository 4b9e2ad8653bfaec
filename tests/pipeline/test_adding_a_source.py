"""docs/adding-a-source.md, followed to the letter in a copy of the checkout and a new home."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from crm_pipeline.settings import CHECKOUT
from tests.pipeline.support import environment

PAGE = CHECKOUT / "docs" / "adding-a-source.md"
_BLOCK = re.compile(
    r"^(?:`(?P<file>[^`\n]+)`:\n\n)?```(?P<kind>\w+)\n(?P<text>.*?)^```$", re.M | re.S
)


@dataclass
class Block:
    """A block of the page: what to write into ``file``, a command, or what a command says."""

    kind: str
    text: str
    file: str | None


def blocks() -> list[Block]:
    page = PAGE.read_text(encoding="utf-8")
    return [Block(m["kind"], m["text"], m["file"]) for m in _BLOCK.finditer(page)]


class Reader:
    """Somebody who does what the page says, and nothing else."""

    def __init__(self, folder: Path) -> None:
        self.checkout, self.home = folder / "checkout", folder / "home"
        self.checkout.mkdir()
        for part in ("crm_pipeline", "dbt_project", "expectations", "ml"):
            shutil.copytree(
                CHECKOUT / part,
                self.checkout / part,
                ignore=shutil.ignore_patterns("__pycache__", "lint", "column_lineage.json"),
            )
        for file in ("dagster.yaml", "pyproject.toml"):
            shutil.copy2(CHECKOUT / file, self.checkout / file)
        (self.checkout / ".venv").symlink_to(CHECKOUT / ".venv")
        self.said = ""

    def follow(self, block: Block) -> None:
        if block.kind == "sh":
            settings = environment(self.home) | {"PYTHONPATH": str(self.checkout)}
            done = subprocess.run(
                ["bash", "-euo", "pipefail", "-c", block.text],
                cwd=self.checkout, env=settings, capture_output=True, text=True, check=False,
            )  # fmt: skip
            assert done.returncode == 0, f"{block.text}{done.stdout}{done.stderr}"
            self.said = done.stdout
        elif block.kind == "text":
            assert self.said == block.text
        else:
            assert block.file is not None, f"the page does not say where this goes:\n{block.text}"
            path = self.checkout / block.file
            assert path.is_file(), f"{block.file} is no file of the copied folder"
            path.write_text(block.text, encoding="utf-8")


def test_the_page_leads_to_files_that_land(tmp_path: Path):
    """Everything but the run: the project parses and the file fits its contract as is shown."""
    reader = Reader(tmp_path)
    steps = blocks()
    last = next(n for n, block in enumerate(steps) if "source check" in block.text)
    for block in steps[: last + 2]:
        reader.follow(block)
    staged = {path.name for path in (reader.checkout / "dbt_project/models/staging/gym").iterdir()}
    written = {Path(block.file).name for block in steps if block.file}
    assert staged == written, "a file of the copied folder was left as it was"
    assert not (CHECKOUT / "dbt_project/models/staging/gym").exists()


@pytest.mark.slow
def test_the_page_leads_to_published_rows(tmp_path: Path):
    reader = Reader(tmp_path)
    for block in blocks():
        reader.follow(block)
    assert reader.said.count("gym:") == 3
