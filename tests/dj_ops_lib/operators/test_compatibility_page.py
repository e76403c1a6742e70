"""The page on Data-Juicer names every operator, and nothing that does not exist."""

import re
from pathlib import Path

from dj_ops_lib.registry import operator_names

PAGE = (Path(__file__).parents[3] / "docs" / "data-juicer-compat.md").read_text(encoding="utf-8")


def test_every_operator_is_on_the_page_and_every_name_on_it_exists():
    named = set(re.findall(r"`((?:video|audio)_\w+_(?:filter|mapper|deduplicator))`", PAGE))
    known = set(re.findall(r"`(video_deduplicator)`", PAGE)) | named
    assert set(operator_names()) - known == set()
    assert known - set(operator_names()) == set()
