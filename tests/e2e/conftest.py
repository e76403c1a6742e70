"""The demo, run once a session as a user runs it: one command, its own folders, real processes."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from dj_ops_lib.warehouse import Warehouse

ROOT = Path(__file__).parents[2]


@dataclasses.dataclass(frozen=True)
class Demo:
    """One run of the demo: where it left things and what it said."""

    folder: Path

    @property
    def environment(self) -> dict[str, str]:
        places = {"DJ_DATA": "data", "DJ_WAREHOUSE": "warehouse", "DAGSTER_HOME": "dagster_home"}
        return os.environ | {k: str(self.folder / v) for k, v in places.items()}

    @property
    def warehouse(self) -> Warehouse:
        return Warehouse(str(self.folder / "warehouse"))

    @property
    def truth(self) -> dict[str, Any]:
        return json.loads((self.folder / "data" / "truth.json").read_text(encoding="utf-8"))

    def start(self) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "dj_assets.demo"],
            cwd=ROOT,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self) -> str:
        """What it printed; fails the test if it failed."""
        process = self.start()
        printed, _ = process.communicate()
        assert process.returncode == 0, printed
        return printed


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Demo:
    """A demo that has run; tests look at it and leave it as it is."""
    demo = Demo(tmp_path_factory.mktemp("demo"))
    (demo.folder / "printed.txt").write_text(demo.run(), encoding="utf-8")
    return demo
