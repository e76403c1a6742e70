"""The page on Data-Juicer names every operator, every known difference, and nothing else."""

import inspect
import re

import pytest

from benchmarks.peer.cases import GRID, WITHOUT_PEER
from benchmarks.peer.exceptions import KNOWN, PAGE
from dj_ops_lib.registry import operator_class, operator_names

TEXT = PAGE.read_text(encoding="utf-8")
MEASURED = (PAGE.parent / "data-juicer-measured.md").read_text(encoding="utf-8")


def test_every_operator_is_on_the_page_and_every_name_on_it_exists():
    named = set(re.findall(r"`((?:video|audio)_\w+_(?:filter|mapper|deduplicator))`", TEXT))
    known = set(re.findall(r"`(video_deduplicator)`", TEXT)) | named
    assert set(operator_names()) - known == set()
    assert known - set(operator_names()) == set()


@pytest.mark.parametrize("line", sorted({known.line for known in KNOWN}))
def test_every_exception_that_was_measured_is_in_the_words_of_the_page(line):
    assert line in TEXT


def test_every_operator_that_both_have_is_measured_or_it_is_said_why_not():
    ours_alone = TEXT.partition("## Only here")[2]
    both = {name for name in operator_names() if f"`{name}`" not in ours_alone}
    assert both == set(GRID) | set(WITHOUT_PEER)
    assert all(f"`{name}`" in MEASURED for name in both)


@pytest.mark.parametrize("operator", GRID)
def test_an_exception_is_in_the_operators_docstring_too(operator):
    about = (inspect.getdoc(operator_class(operator)) or "").partition("Source:")[0]
    assert "Data-Juicer" in about


def test_nothing_that_was_measured_is_unexplained():
    assert "UNEXPLAINED" not in MEASURED
