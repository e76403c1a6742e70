"""The demo corpus, generated once for all tests of this folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import pytest

from dj_ops_lib.demo import generate


class Corpus(NamedTuple):
    """Where it is and what is true of it."""

    root: Path
    truth: dict[str, Any]

    def videos(self, feature: str) -> list[dict[str, Any]]:
        """The videos with a feature."""
        return [video for video in self.truth["videos"] if video["feature"] == feature]


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    root = tmp_path_factory.mktemp("corpus")
    return Corpus(root, generate(root))
