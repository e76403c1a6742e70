"""Every operator through the real engine: what it finds there, and what a broken file becomes.

The engine stands between a clip and its operators and passes on what it knows; what an operator
finds when it is fed by hand is the truth here.
"""

import dataclasses
import typing

import numpy as np
import pytest

from dj_ops_lib.clip import Clip, Edit
from dj_ops_lib.engine.files import absolute, write_files
from dj_ops_lib.engine.options import EngineOptions
from dj_ops_lib.engine.pool import stop_workers
from dj_ops_lib.engine.shard import probe_shard, process_shard
from dj_ops_lib.errors import RecipeError
from dj_ops_lib.media.access import Access
from dj_ops_lib.media.ffmpeg import run_ffmpeg
from dj_ops_lib.needs import HeaderOnly
from dj_ops_lib.operator import Annotator, Editor, Splitter
from dj_ops_lib.recipe import Recipe, Stage
from dj_ops_lib.recipe_file import make_operator
from dj_ops_lib.registry import operator_class, operator_names
from dj_ops_lib.warehouse import Warehouse


def ways(name):
    """The operator with its defaults, and with every other choice that changes a measurement."""
    yield make_operator(name, {})
    for key, field in operator_class(name).model_fields.items():
        choices = typing.get_args(field.annotation)
        if typing.get_origin(field.annotation) is not typing.Literal or len(choices) < 2:
            continue
        for choice in choices:
            if choice == field.default or field.json_schema_extra["decides"]:
                continue
            try:
                yield make_operator(name, {key: choice})
            except RecipeError:  # a choice that another parameter must go with
                continue


WAYS = [operator for name in operator_names() for operator in ways(name)]
OPENING = [o for o in WAYS if not isinstance(o.needs(), HeaderOnly)]


def told(operator):
    """Test id: the name, and what is not the default."""
    changed = operator.model_dump(exclude_defaults=True)
    return "-".join([operator.name, *map(str, changed.values())])


@dataclasses.dataclass
class Shard:
    """Two probed files and a warehouse: a good one, and one whose second half is missing."""

    warehouse: Warehouse
    options: EngineOptions
    good: str
    broken: str

    def run(self, operator):
        """The rows of both files after a stage of this operator, and of those that it reads."""
        read = [operator_class(n)() for n in operator_names() if n != operator.name]
        makers = [o for o in read if {c.name for c in o.columns} & set(operator.reads)]
        recipe = Recipe("alone", (Stage("cleaned", (*makers, operator)),))
        process_shard(
            self.warehouse, recipe, "cleaned", source="files", shard="00000", options=self.options
        )
        batches = self.warehouse.read_shard("files/alone/cleaned", "00000")
        rows = [row for batch in batches for row in batch.to_pylist()]
        return {path: [r for r in rows if r["source_id"] == path] for path in self.paths}

    @property
    def paths(self):
        return (self.good, self.broken)


@pytest.fixture(scope="module")
def shard(tmp_path_factory, write_video):
    folder = tmp_path_factory.mktemp("engine")
    ground = np.random.default_rng(0).integers(40, 200, (96, 240, 3)).astype(np.uint8)
    images = [ground[:, 2 * i : 2 * i + 128] for i in range(50)]
    time_s = np.arange(2 * 48_000) / 48_000
    sound = np.stack([0.1 * np.sin(2 * np.pi * 440 * time_s)] * 2)
    plain = write_video(folder / "plain.mp4", images, sound=sound, gop=20)
    good, broken = folder / "good.mp4", folder / "broken.mp4"
    run_ffmpeg("-i", str(plain), "-c", "copy", "-movflags", "faststart", str(good))
    broken.write_bytes(good.read_bytes()[: good.stat().st_size // 2])
    warehouse = Warehouse(str(folder / "warehouse"))
    options = EngineOptions(Access((str(folder),)), workers=1, memory_mb=2048)
    paths = [str(good), str(broken)]
    write_files(warehouse, "files", paths, text="a ground")
    probe_shard(warehouse, source="files", shard="00000", options=options, locate=absolute)
    yield Shard(warehouse, options, *paths)
    stop_workers()


@pytest.mark.parametrize("operator", WAYS, ids=told)
def test_the_engine_finds_what_the_operator_finds(operator, shard, watch):
    rows = shard.run(operator)[shard.good]
    (media,) = (
        row
        for batch in shard.warehouse.read_shard("files/media", "00000")
        for row in batch.to_pylist()
        if row["source_id"] == shard.good
    )
    found = watch(operator, Clip.from_row(media | {n: rows[0][n] for n in operator.reads}))
    assert all(row["error"] is None for row in rows)
    if isinstance(operator, Splitter):
        pieces = [Clip.from_row(r).span for r in rows if r["parent_id"] or not r["keep"]]
        assert (pieces or [Clip.from_row(rows[0]).span]) == list(found)
        return
    (row,) = rows
    if isinstance(operator, Editor):
        assert tuple(Edit.from_row(e) for e in row["edits"]) == found.edits
        assert (row["width"], row["height"]) == (found.width, found.height)
        found = found.columns
    if isinstance(operator, Annotator):
        (found,) = operator.annotate([Clip.from_row(media)], [found])
    for column in operator.columns:
        assert row[column.name] == found[column.name], column.name


@pytest.mark.parametrize("operator", OPENING, ids=told)
def test_a_file_that_is_cut_off_is_an_error_row_and_nothing_else(operator, shard):
    (row,) = shard.run(operator)[shard.broken]
    assert (row["keep"], row["rejected_by"]) == (False, None)
    assert row["error"]["operator"] == operator.name
    assert row["error"]["class"] == "decode_error"
    assert "broken.mp4" in row["error"]["message"]
    assert all(row[column.name] is None for column in operator.columns)
