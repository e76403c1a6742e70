"""Whatever is given as a parameter is refused with a clear message or makes a working operator."""

import typing

import polars as pl
import pyarrow as pa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dj_ops_lib.clip import CLIP_SCHEMA
from dj_ops_lib.errors import RecipeError
from dj_ops_lib.operator import Filter
from dj_ops_lib.recipe import make_operator
from dj_ops_lib.registry import operator_class, operator_names

PARAMETERS = [(n, p) for n in operator_names() for p in operator_class(n).model_fields]
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=2)
    ),
    max_leaves=4,
)


def likely(name: str, parameter: str) -> st.SearchStrategy:
    """Values near those that the parameter takes: its choices, numbers around its limits."""
    annotation = operator_class(name).model_fields[parameter].annotation
    choices = [c for a in (annotation, *typing.get_args(annotation)) for c in typing.get_args(a)]
    plain = [c for c in choices if isinstance(c, str | int | float)]
    numbers = st.sampled_from([-1, 0, 1, 2, 0.5, 1.5, 255, 2**31, 2**63, 1e308, -1e308])
    return st.sampled_from(plain) | numbers if plain else numbers


@settings(max_examples=400, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_any_value_is_refused_by_name_or_works(data):
    name, parameter = data.draw(st.sampled_from(PARAMETERS))
    value = data.draw(likely(name, parameter) | ANYTHING)
    try:
        operator = make_operator(name, {parameter: value})
    except RecipeError as error:
        text = str(error)
    else:
        text = name
        assert make_operator(name, {parameter: value}).fingerprint() == operator.fingerprint()
        operator.needs()
        if isinstance(operator, Filter):
            schema = pa.schema([*CLIP_SCHEMA, *(c.field for c in operator.columns)])
            empty = pl.DataFrame(schema.empty_table())
            assert empty.select(operator.keep().alias("kept")).height == 0
            operator.thresholds()
    assert text.startswith(name)
    assert len(text) < 2000
