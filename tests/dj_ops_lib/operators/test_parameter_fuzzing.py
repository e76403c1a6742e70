"""Whatever is given as a parameter is refused with a clear message or makes a working operator."""

import contextlib
import math
import typing

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dj_ops_lib.clip import CLIP_SCHEMA, Clip
from dj_ops_lib.errors import RecipeError
from dj_ops_lib.needs import Audio, Frame, Frames, HeaderOnly, MotionVectors, Packets, Size
from dj_ops_lib.operator import EditResult, Filter
from dj_ops_lib.recipe_file import make_operator
from dj_ops_lib.registry import operator_class, operator_names

NAMES = operator_names()
PARAMETERS = [(n, p) for n in NAMES for p in operator_class(n).model_fields]
NUMBERS = [-1, 0, 1, 2, 3, 7, 31, 32, 255, 2**31, 2**63, 10**400, 0.5, 1.5, 1e308, -1e308, 5e-324]
NASTY = [
    *(None, True, False, math.nan, math.inf, -math.inf, -0.0, *NUMBERS, *(-n for n in NUMBERS)),
    *(
        "",
        " ",
        "0",
        "1",
        "nan",
        "1e999",
        "9/0",
        "0:0",
        "\x00",
        "é",
        "名前",
        "🎬",
        "a" * 3000,
        "\ud800",
    ),
    *("../../etc/passwd", "{}", "0,0,1,1", "nan,0,1,1", "0,0,1e999,1", "1,2,3,4,5", b"bytes", 1j),
    *([], (), {}, [None], [[]], {"": None}, {1: 2}, [1, 2], (1, 2), [1e308] * 4, ["", "0,0,1,1"]),
    *(
        {"sigma": math.nan},
        {"a\x00b": "c"},
        [0.1, 0.1, 0.1, 0.1],
        [2**63, 2**63],
        object,
        np.float64(1),
    ),
]
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=2)
    ),
    max_leaves=4,
)
CLIP = Clip(
    "c", "test", "000", width=48, height=32, fps=25.0, duration_s=0.2, num_frames=5, has_audio=True
)
PICTURES = np.random.default_rng(0).integers(0, 256, (5, 32, 48, 3)).astype(np.uint8)


def works(operator):
    """The operator can do all that the engine asks of it; on one small clip it says something."""
    assert (
        operator.fingerprint() == make_operator(operator.name, operator.model_dump()).fingerprint()
    )
    need = operator.needs()
    if isinstance(operator, Filter):
        schema = pa.schema([*CLIP_SCHEMA, *(c.field for c in operator.columns)])
        empty = pl.DataFrame(schema.empty_table())
        assert empty.select(operator.keep().alias("kept")).height == 0
        operator.thresholds()
    if operator.resources.model:
        return
    if isinstance(need, HeaderOnly):
        with contextlib.suppress(ValueError):  # becomes the clip's error
            found = operator.measure(CLIP)
            assert not isinstance(found, EditResult) or min(found.width, found.height) > 0
        return
    observer = operator.observe(CLIP)
    if isinstance(need, Frames):
        width, height = (need.size or Size()).resolve(CLIP.width, CLIP.height)
        assert 0 < width <= 2**15, "frames would not fit into memory"
        assert 0 < height <= 2**15, "frames would not fit into memory"
        for i, picture in enumerate(PICTURES):
            image = picture[..., 0] if need.format == "gray" else picture
            observer.frame(Frame(image, i / 25, i / 25, i, i == 0))
    if isinstance(need, Audio):
        observer.audio(np.zeros((2, 9600), np.float32))
    if isinstance(need, Packets):
        observer.packet(b"packet", 0.0, 0)
    if isinstance(need, MotionVectors):
        observer.vectors(np.zeros(0, [("w", "u1")]), "P")
    observer.result()


def refused_or_works(name, parameter, value):
    try:
        operator = make_operator(name, {parameter: value})
    except RecipeError as error:
        text = str(error)
        assert text.startswith(name)
        assert len(text) < 2000
        text.encode()  # a terminal and a log can show it
    else:
        works(operator)


@pytest.mark.parametrize("name", NAMES)
def test_every_parameter_refuses_or_takes_every_nasty_value(name):
    for parameter in operator_class(name).model_fields:
        for value in NASTY:
            refused_or_works(name, parameter, value)


def likely(name: str, parameter: str) -> st.SearchStrategy:
    """Values near those that the parameter takes: its choices, numbers around its limits."""
    annotation = operator_class(name).model_fields[parameter].annotation
    choices = [c for a in (annotation, *typing.get_args(annotation)) for c in typing.get_args(a)]
    plain = [c for c in choices if isinstance(c, str | int | float)]
    numbers = st.sampled_from(NUMBERS)
    return st.sampled_from(plain) | numbers if plain else numbers


@settings(max_examples=300, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_any_value_is_refused_by_name_or_works(data):
    name, parameter = data.draw(st.sampled_from(PARAMETERS))
    refused_or_works(name, parameter, data.draw(likely(name, parameter) | ANYTHING))
