"""A new dataset is one new file in the package: it is found, configured, indexed and read."""

from __future__ import annotations

import pytest

import dj_ops_lib.sources
from dj_ops_lib.errors import SourceError
from dj_ops_lib.registry import module_names
from dj_ops_lib.sources.reader import reader_names, source_reader

NEW_FILE = '''
"""Tiny: one word a line."""

from dj_ops_lib.sources.entry import AnnotatedClip
from dj_ops_lib.sources.formats.json_lines import JsonLines
from dj_ops_lib.sources.reader import SourceReader


class Tiny(SourceReader):
    """Tiny."""

    annotations = ("tiny.jsonl",)
    license = "CC0"
    layout = JsonLines()

    def clips(self, entry):
        yield AnnotatedClip(self.text(entry, "id"), None, None, (self.text(entry, "says"),), {})
'''


@pytest.fixture
def new_file(tmp_path, monkeypatch):
    folder = tmp_path / "dropped"
    folder.mkdir()
    (folder / "tiny.py").write_text(NEW_FILE)
    monkeypatch.setattr(dj_ops_lib.sources, "__path__", [*dj_ops_lib.sources.__path__, str(folder)])
    caches = (module_names, reader_names, source_reader)
    for cache in caches:
        cache.cache_clear()
    yield
    for cache in caches:
        cache.cache_clear()


def test_the_readers_are_those_of_the_datasets_and_nothing_else():
    assert reader_names() == ("internvid", "msr_vtt", "panda70m")


@pytest.mark.usefixtures("new_file")
def test_dropping_one_file_into_the_package_adds_a_source(read_source):
    assert "tiny" in reader_names()
    rows = read_source("tiny", {"tiny.jsonl": b'{"id": "a", "says": "hello"}\n'})
    assert [(r["source"], r["source_id"], r["text"], r["license"]) for r in rows] == [
        ("tiny", "a", "hello", "CC0")
    ]


def test_without_the_file_there_is_no_such_source(read_source):
    with pytest.raises(SourceError, match="there is no dataset 'tiny'"):
        read_source("tiny", {})
