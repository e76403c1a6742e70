"""What holds for every operator that there is, and that a new file is all a new one takes."""

import inspect
import re
import subprocess
import sys
from pathlib import Path

import polars as pl
import pyarrow as pa
import pydantic
import pytest

import dj_ops_lib.operators.filters as filters_package
from dj_ops_lib import registry
from dj_ops_lib.clip import CLIP_SCHEMA
from dj_ops_lib.needs import HeaderOnly
from dj_ops_lib.operator import Filter, Kind
from dj_ops_lib.recipe_file import make_operator
from dj_ops_lib.registry import operator_class, operator_names

NAMES = operator_names()
FOLDERS = {
    Kind.FILTER: "filters",
    Kind.SPLITTER: "splitters",
    Kind.ANNOTATOR: "annotators",
    Kind.EDITOR: "editors",
    Kind.DEDUPLICATOR: "deduplicators",
}


@pytest.mark.parametrize("name", NAMES)
def test_an_operator_is_where_its_kind_and_name_say(name):
    found = operator_class(name)
    path = Path(inspect.getfile(found))
    assert (path.parent.name, path.stem) == (FOLDERS[found.kind], name)
    assert found.__name__ == "".join(part.capitalize() for part in name.split("_"))
    assert len(path.read_text().splitlines()) <= 300


@pytest.mark.parametrize("name", NAMES)
def test_a_docstring_says_what_it_does_and_where_it_comes_from(name):
    text = inspect.getdoc(operator_class(name)) or ""
    assert re.search(r"^Source: \S", text, re.MULTILINE), f"{name} names no source"


@pytest.mark.parametrize("name", NAMES)
def test_every_parameter_has_a_description_and_a_valid_default(name):
    found = operator_class(name)
    for key, field in found.model_fields.items():
        assert field.description, f"{name}: {key} has no description"
        assert not field.is_required(), f"{name}: {key} has no default"
        assert {"unit", "decides"} <= set(field.json_schema_extra or {}), f"{name}: {key}"
    defaults = {k: f.get_default(call_default_factory=True) for k, f in found.model_fields.items()}
    given = make_operator(name, defaults)
    assert given == found()
    assert given.fingerprint() == found().fingerprint()


@pytest.mark.parametrize("name", NAMES)
def test_columns_are_described_and_shadow_no_column_of_the_row(name):
    columns = operator_class(name).columns
    assert not {c.name for c in columns} & set(CLIP_SCHEMA.names)
    assert all(c.description for c in columns)


def test_no_two_operators_make_the_same_column():
    makers = {}
    for name in NAMES:
        for column in operator_class(name).columns:
            assert makers.setdefault(column.name, name) == name


@pytest.mark.parametrize("name", NAMES)
def test_a_filter_decides_from_its_columns_and_its_thresholds_are_not_measured(name, clip):
    operator = operator_class(name)()
    if not isinstance(operator, Filter):
        return
    own = {c.name for c in operator.columns}
    assert set(operator.keep().meta.root_names()) <= own
    assert set(operator.thresholds()) <= own
    empty = pl.DataFrame(pa.schema([c.field for c in operator.columns]).empty_table())
    assert empty.select(operator.keep().alias("keep")).schema == {"keep": pl.Boolean}
    limits = [k for k in operator.deciding_parameters() if k.startswith(("min_", "max_"))]
    assert limits or name in {"video_aspect_ratio_filter"}


@pytest.mark.parametrize("name", NAMES)
def test_an_operator_that_needs_only_the_row_returns_exactly_its_columns(name, clip):
    operator = operator_class(name)()
    if isinstance(operator, Filter) and isinstance(operator.needs(), HeaderOnly):
        assert set(operator.measure(clip())) == {c.name for c in operator.columns}


@pytest.mark.parametrize("name", NAMES)
def test_parameters_are_frozen_and_the_fingerprint_is_stable(name):
    operator = operator_class(name)()
    assert operator.fingerprint("s") == operator_class(name)().fingerprint("s")
    with pytest.raises(pydantic.ValidationError):
        operator.no_such_parameter = 1


def test_listing_the_operators_imports_no_opencv_and_no_model_runtime():
    code = (
        "import sys\n"
        "from dj_ops_lib.registry import operator_class, operator_names\n"
        "[operator_class(n).model_json_schema() for n in operator_names()]\n"
        "heavy = {'cv2', 'torch', 'scenedetect', 'onnxruntime', 'rapidocr', 'av', 'lance'}\n"
        "print(sorted(heavy & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


NEW_OPERATOR = '''
"""Filter by the length of the text."""

import polars as pl
import pyarrow as pa

from dj_ops_lib.operator import Column, Filter, parameter


class TextLengthFilter(Filter):
    """Keeps clips with a long text."""

    columns = (Column("text_length", pa.int64(), "characters"),)

    min_length: int = parameter(1, "fewest characters", decides=True)

    def measure(self, clip):
        return {"text_length": len(clip.text or "")}

    def keep(self):
        return pl.col("text_length") >= self.min_length
'''


@pytest.fixture
def operators_folder(tmp_path, monkeypatch):
    """A folder that is searched for filters like the project's own."""
    monkeypatch.setattr(filters_package, "__path__", [*filters_package.__path__, str(tmp_path)])
    registry.module_names.cache_clear()
    yield tmp_path
    sys.modules.pop("dj_ops_lib.operators.filters.text_length_filter", None)
    registry.module_names.cache_clear()
    registry.operator_class.cache_clear()


def test_one_new_file_is_a_new_operator(operators_folder, clip, kept):
    (operators_folder / "text_length_filter.py").write_text(NEW_OPERATOR)
    assert "text_length_filter" in operator_names()
    operator = make_operator("text_length_filter", {"min_length": 3})
    rows = [operator.measure(clip(text=t)) for t in ("four", "no", None)]
    assert kept(operator, rows) == [True, False, False]
