"""Any sequence of operations leaves the table as a plain in-memory model says."""

from __future__ import annotations

import copy
import datetime as dt
import shutil
import tempfile
from collections import Counter

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from warehouse_rows import WITH_SCORE, clip_batches, clip_row, contents, put

from dj_ops_lib.clip import CLIP_SCHEMA
from dj_ops_lib.errors import ConflictError, WarehouseError
from dj_ops_lib.warehouse import Provenance, Warehouse
from dj_ops_lib.warehouse.maintenance import Policy
from dj_ops_lib.warehouse.tombstones import Tombstone

TABLE = "demo/t2v/cleaned"
NOW = dt.timedelta(0)
SHARDS = st.sampled_from(["0000", "0001", "it's", "0003"])
COUNTS = st.integers(0, 9)

State = dict[str, dict[str, str]]
"""Text by clip_id, by shard; a shard that is done and empty is there without clips."""


class WarehouseMachine(RuleBasedStateMachine):
    """The table and its model side by side."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.mkdtemp()
        self.warehouse = Warehouse(self.folder)
        self.now: State = {}
        self.columns: list[str] | None = None
        self.versions: dict[int, tuple[State, list[str]]] = {}
        self.tags: dict[str, int] = {}
        self.gone: set[str] = set()
        self.writes: list[tuple[str, str, int]] = []
        self.marks = 0
        self.changed = 0

    def teardown(self) -> None:
        shutil.rmtree(self.folder)

    def _rows(self, shard: str, count: int) -> tuple[list[dict], dict[str, str]]:
        self.marks += 1
        rows = [clip_row(shard, i, str(self.marks)) for i in range(count)]
        kept = {r["clip_id"]: r["text"] for r in rows if r["source_id"] not in self.gone}
        return rows, kept

    def _committed(self, version: int, *, changes_rows: bool = True) -> None:
        assert version == self.warehouse.version(TABLE)
        self.changed = version if changes_rows else self.changed
        self.versions[version] = (copy.deepcopy(self.now), list(self.columns or []))

    @rule(shard=SHARDS, count=COUNTS, wide=st.booleans(), swap=st.booleans())
    def replace(self, shard: str, count: int, wide: bool, swap: bool) -> None:
        rows, kept = self._rows(shard, count)
        expected = {"expected_version": self.warehouse.version(TABLE)} if swap else {}
        version = put(
            self.warehouse,
            TABLE,
            shard,
            0,
            str(self.marks),
            rows=rows,
            schema=WITH_SCORE if wide else CLIP_SCHEMA,
            **expected,
        )
        self.now[shard] = kept
        if self.columns is None:
            self.columns = list(CLIP_SCHEMA.names)
        if wide and "score" not in self.columns:
            self.columns.append("score")
        self.writes.append((shard, str(self.marks), len(kept)))
        self._committed(version)

    @precondition(lambda self: self.versions)
    @rule(shard=SHARDS, data=st.data())
    def replace_on_an_old_decision(self, shard: str, data: st.DataObject) -> None:
        seen = data.draw(st.sampled_from(sorted({0, *self.versions})))
        if seen >= self.changed:  # since then there was maintenance only, which is no conflict
            return
        before = self.warehouse.version(TABLE)
        rows, _ = self._rows(shard, 3)
        with pytest.raises(ConflictError):
            put(self.warehouse, TABLE, shard, 0, rows=rows, expected_version=seen)
        assert self.warehouse.version(TABLE) == before

    @rule(counts=st.dictionaries(SHARDS, st.integers(1, 5)))
    def overwrite(self, counts: dict[str, int]) -> None:
        rows, now = [], {}
        for shard, count in counts.items():
            written, kept = self._rows(shard, count)
            rows += written
            if kept:
                now[shard] = kept
        version = self.warehouse.overwrite(
            TABLE, clip_batches(rows), schema=CLIP_SCHEMA, provenance=Provenance()
        )
        self.now, self.columns = now, list(CLIP_SCHEMA.names)
        self._committed(version)

    @precondition(lambda self: self.versions)
    @rule(name=st.sampled_from(["red", "green"]), data=st.data())
    def tag(self, name: str, data: st.DataObject) -> None:
        version = data.draw(st.sampled_from(sorted(self.versions)))
        if name in self.tags:
            with pytest.raises(WarehouseError):
                self.warehouse.tag(TABLE, name, version)
            self.warehouse.untag(TABLE, name)
        self.warehouse.tag(TABLE, name, version)
        self.tags[name] = version

    @precondition(lambda self: self.versions)
    @rule(data=st.data())
    def restore(self, data: st.DataObject) -> None:
        wanted = data.draw(st.sampled_from(sorted(self.versions)))
        old, columns = self.versions[wanted]
        version = self.warehouse.restore(TABLE, wanted)
        self.now = {
            shard: {i: t for i, t in rows.items() if _source_id(i) not in self.gone}
            for shard, rows in copy.deepcopy(old).items()
        }
        self.columns = list(columns)
        self._committed(version)

    @precondition(lambda self: self.versions)
    @rule(compact_at=st.sampled_from([2, 1000]), cleanup=st.booleans())
    def maintain(self, compact_at: int, cleanup: bool) -> None:
        keep_for = NOW if cleanup else dt.timedelta(days=1)
        policy = Policy(compact_at, index_at=1, keep_for=keep_for, orphans_after=keep_for)
        done = self.warehouse.maintain(TABLE, policy)
        assert done.yielded == ()
        if cleanup:
            kept = {int(v["version"]) for v in self.warehouse.lance(TABLE).versions()}
            assert set(self.tags.values()) <= kept
            self.versions = {v: s for v, s in self.versions.items() if v in kept}
        self._committed(done.version, changes_rows=False)

    @rule(shard=SHARDS, number=st.integers(0, 8))
    def take_down(self, shard: str, number: int) -> None:
        source_id = f"video-{shard}-{number}"
        self.warehouse.takedown([Tombstone("source_id", source_id)], even_if_unknown=True)
        self.gone.add(source_id)
        clip_id = f"{shard}/{number}"
        for rows in self.now.values():
            rows.pop(clip_id, None)
        if self.versions:
            self._committed(self.warehouse.version(TABLE))

    @invariant()
    def the_table_is_as_the_model_says(self) -> None:
        if not self.versions:
            assert not self.warehouse.exists(TABLE)
            return
        assert contents(self.warehouse, TABLE) == _counted(self.now)
        assert self.warehouse.shards(TABLE) == {s: len(r) for s, r in sorted(self.now.items())}
        assert self.warehouse.schema(TABLE).names == self.columns
        assert {t.name: t.version for t in self.warehouse.tags(TABLE)} == self.tags

    @precondition(lambda self: self.versions)
    @rule(data=st.data())
    def read_an_old_version(self, data: st.DataObject) -> None:
        version = data.draw(st.sampled_from(sorted(self.versions)))
        state, columns = self.versions[version]
        assert contents(self.warehouse, TABLE, version) == _counted(state)
        assert self.warehouse.shards(TABLE, version) == {s: len(r) for s, r in state.items()}
        assert self.warehouse.schema(TABLE, version).names == columns

    @precondition(lambda self: self.versions)
    @rule(shard=SHARDS)
    def read_a_shard(self, shard: str) -> None:
        read = self.warehouse.read_shard(TABLE, shard, columns=["clip_id", "text"])
        rows = [(r["clip_id"], r["text"]) for b in read for r in b.to_pylist()]
        assert sorted(rows) == sorted(self.now.get(shard, {}).items())

    @precondition(lambda self: self.versions)
    @rule(data=st.data())
    def compare_two_versions(self, data: st.DataObject) -> None:
        before, after = data.draw(st.tuples(*[st.sampled_from(sorted(self.versions))] * 2))
        old, new = _clips(self.versions[before][0]), _clips(self.versions[after][0])
        found = self.warehouse.diff(TABLE, before, after)
        assert found.added == sorted(set(new) - set(old))
        assert found.removed == sorted(set(old) - set(new))
        assert found.changed == sorted(i for i in set(old) & set(new) if old[i] != new[i])

    @precondition(lambda self: self.writes)
    @rule()
    def read_the_history(self) -> None:
        commits = [c for c in self.warehouse.history(TABLE) if c.kind == "replace"]
        told = [(c.shard, c.provenance.run_id, c.provenance.rows_out) for c in commits]
        assert told == self.writes


def _source_id(clip_id: str) -> str:
    return "video-" + clip_id.replace("/", "-")


def _clips(state: State) -> dict[str, str]:
    return {clip_id: text for rows in state.values() for clip_id, text in rows.items()}


def _counted(state: State) -> dict[str, Counter]:
    return {shard: Counter(rows.items()) for shard, rows in state.items() if rows}


_PATIENT = settings(deadline=None, suppress_health_check=list(HealthCheck))


class TestWarehouseModel(WarehouseMachine.TestCase):
    settings = settings(_PATIENT, max_examples=12, stateful_step_count=12)


@pytest.mark.slow
@pytest.mark.timeout(900)
class TestWarehouseModelAtLength(WarehouseMachine.TestCase):
    settings = settings(_PATIENT, max_examples=30, stateful_step_count=40)
