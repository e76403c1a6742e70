"""Plans: barriers, waves by need, and two passes where that is cheaper; never another result."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import ClassVar

import polars as pl
import pyarrow as pa
from engine_operators import (
    BrightnessFilter,
    HalvesSplitter,
    LengthFilter,
    MiddleFilter,
    PiecesSplitter,
    ShrinkEditor,
    WordsAnnotator,
)
from hypothesis import given
from hypothesis import strategies as st

from dj_ops_lib.clip import CLIP_SCHEMA, Clip
from dj_ops_lib.engine.known_results import KnownResults
from dj_ops_lib.engine.measuring import Measurement, Outcome, Task
from dj_ops_lib.engine.options import EngineOptions
from dj_ops_lib.engine.ordering import Cost, passes
from dj_ops_lib.engine.planner import Level, plan_operators
from dj_ops_lib.engine.runner import StageRun, run_operators
from dj_ops_lib.media.access import Access
from dj_ops_lib.needs import Every, Frames, HeaderOnly, KeyFrames, Need, Observer, Packets
from dj_ops_lib.operator import Column, Filter, Operator, Resources, parameter


class _Numbered(Filter):
    """Keeps clips whose number is low enough; the test says which number a clip has."""

    need: str = "every"
    most: float = parameter(1.0, "highest kept", decides=True)

    def needs(self) -> Need:
        return {
            "every": Frames(Every()),
            "key": Frames(KeyFrames()),
            "packets": Packets(),
            "header": HeaderOnly(),
        }[self.need]

    def observe(self, clip: Clip) -> Observer:
        raise AssertionError("measured by the test")

    def keep(self) -> pl.Expr:
        return pl.col(self.columns[0].name) <= self.most


def _numbered(letter: str) -> type[_Numbered]:
    column = Column(f"number_{letter}", pa.float64(), "number")

    class Made(_Numbered):
        name: ClassVar[str] = f"{letter}_filter"
        columns: ClassVar[tuple[Column, ...]] = (column,)

    return Made


A, B, C, D = (_numbered(letter) for letter in "abcd")


class LabelFilter(A):  # type: ignore[valid-type,misc]
    """Reads another operator's column."""

    name: ClassVar[str] = "label_filter"
    columns: ClassVar[tuple[Column, ...]] = (Column("label", pa.float64(), "label"),)
    reads: ClassVar[tuple[str, ...]] = ("number_b",)


class ModelFilter(A):  # type: ignore[valid-type,misc]
    """Needs a model."""

    name: ClassVar[str] = "model_filter"
    columns: ClassVar[tuple[Column, ...]] = (Column("model", pa.float64(), "model"),)
    resources: ClassVar[Resources] = Resources(model=True)


def waves(operators: Sequence[Operator]) -> list[list[tuple[Level, list[str]]]]:
    return [
        [(w.level, [o.name for o in w.operators]) for w in segment.waves]
        for segment in plan_operators(operators)
    ]


def test_operators_meet_in_waves_by_what_they_need() -> None:
    operators = (B(), ModelFilter(), D(need="key"), LengthFilter(), C(need="packets"), A())
    assert waves(operators) == [
        [
            (Level.HEADER, ["length_filter"]),
            (Level.KEY_FRAMES, ["d_filter", "c_filter"]),
            (Level.FRAMES, ["b_filter", "a_filter"]),
            (Level.MODELS, ["model_filter"]),
        ]
    ]


def test_splitters_and_editors_end_a_segment() -> None:
    operators = (BrightnessFilter(), HalvesSplitter(), PiecesSplitter(), ShrinkEditor(), A())
    assert waves(operators) == [
        [(Level.FRAMES, ["brightness_filter", "halves_mapper"])],
        [(Level.HEADER, ["pieces_mapper"])],
        [(Level.HEADER, ["shrink_mapper"])],
        [(Level.FRAMES, ["a_filter"])],
    ]


def test_who_reads_a_column_comes_after_who_makes_it() -> None:
    assert waves((B(), LabelFilter(need="header"))) == [
        [(Level.FRAMES, ["b_filter"]), (Level.HEADER, ["label_filter"])]
    ]
    assert waves((B(need="header"), LabelFilter(need="key"))) == [
        [(Level.HEADER, ["b_filter"]), (Level.KEY_FRAMES, ["label_filter"])]
    ]


@given(st.permutations([A(), B(need="key"), LengthFilter(), HalvesSplitter(), WordsAnnotator()]))
def test_every_operator_is_planned_once_and_in_order_within_its_wave(
    operators: list[Operator],
) -> None:
    plan = plan_operators(operators)
    planned = [o.name for s in plan for w in s.waves for o in w.operators]
    assert sorted(planned) == sorted(o.name for o in operators)
    for segment in plan:
        for wave in segment.waves:
            places = [operators.index(o) for o in wave.operators]
            assert places == sorted(places)
        levels = [w.level for w in segment.waves]
        assert levels == sorted(levels)


def test_one_pass_where_decoding_is_what_costs() -> None:
    costs = {o.name: Cost(own=0.01, whole=1.03, rejects=0.5) for o in (A(), B(), C())}
    assert passes((A(), B(), C()), costs) == ((A(), B(), C()),)


def test_an_expensive_operator_waits_for_a_cheap_one_that_rejects() -> None:
    costs = {"a_filter": Cost(0.01, 10.1, 0.6), "b_filter": Cost(10.0, 10.1, 0.1)}
    assert passes((A(), B()), costs) == ((A(),), (B(),))
    # In the other order of the recipe, b must be known for every clip, to be named where it
    # rejects: nothing is gained.
    assert passes((B(), A()), costs) == ((B(), A()),)
    assert passes((A(), B()), {"a_filter": costs["a_filter"]}) == ((A(), B()),)


class _Bench:
    """Measures by looking numbers up, and counts what was asked for."""

    def __init__(self, numbers: dict[str, dict[str, float | None]]) -> None:
        self.numbers = numbers
        self.asked = 0

    def __call__(self, tasks: Sequence[Task]) -> Iterator[tuple[int, Outcome]]:
        for place, task in enumerate(tasks):
            self.asked += len(task.operators)
            yield place, Outcome({n: self._one(n, task.clip) for n, _ in task.operators})

    def _one(self, name: str, clip: Clip) -> Measurement:
        value = self.numbers[clip.clip_id][name]
        return Measurement({f"number_{name[0]}": value})


def rows(clips: Sequence[str]) -> pl.DataFrame:
    entries = [
        {"clip_id": c, "source": "s", "shard": "0", "signature": c, "keep": True} for c in clips
    ]
    return pl.DataFrame(pa.Table.from_pylist(entries, CLIP_SCHEMA))


NAMES = ("a_filter", "b_filter", "c_filter", "d_filter")
cost = st.builds(
    Cost, own=st.sampled_from([0.0, 0.1, 5.0]), whole=st.just(6.0), rejects=st.floats(0, 1)
)


@given(
    st.dictionaries(
        st.text("xyz", min_size=1, max_size=3),
        st.fixed_dictionaries({n: st.sampled_from([0.0, 2.0]) for n in NAMES}),
        max_size=8,
    ),
    st.fixed_dictionaries({n: cost for n in NAMES}),
    st.permutations([A(), B(), C(), D()]),
)
def test_measuring_in_two_passes_decides_as_measuring_in_one(
    numbers: dict[str, dict[str, float | None]],
    costs: dict[str, Cost],
    operators: list[Operator],
) -> None:
    def run(known: dict[str, Cost]) -> tuple[StageRun, int]:
        bench = _Bench(numbers)
        options = EngineOptions(Access(()))
        made = run_operators(
            rows(list(numbers)),
            operators,
            known=KnownResults(),
            measure=bench,
            options=options,
            costs=known,
        )
        return made, bench.asked

    plain, all_asked = run({})
    ordered, asked = run(costs)
    decided = ["clip_id", "keep", "rejected_by", "error"]
    assert ordered.rows.select(decided).equals(plain.rows.select(decided))
    assert asked <= all_asked
    assert [(t.operator, t.rows_in, t.rejected) for t in ordered.tallies] == [
        (t.operator, t.rows_in, t.rejected) for t in plain.tallies
    ]


def test_costs_come_from_the_tables_own_history(shelf) -> None:  # type: ignore[no-untyped-def]
    from dj_ops_lib.engine.shard import recent_costs

    assert recent_costs(shelf.warehouse, "toys/r/cleaned") == {}
    shelf.run(BrightnessFilter(least=100), MiddleFilter())
    found = recent_costs(shelf.warehouse, "toys/r/cleaned")
    assert found["brightness_filter"].rejects == 0.5
    assert 0 < found["brightness_filter"].own < found["brightness_filter"].whole
