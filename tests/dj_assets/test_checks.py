"""Each promise about a table is broken once, and the check that guards it says so."""

from __future__ import annotations

import dataclasses

import dagster as dg
import pyarrow as pa
import pytest

from dj_assets import checks
from dj_ops_lib.checks import Shard, findings
from dj_ops_lib.clip import CLIP_SCHEMA, Clip
from dj_ops_lib.engine.content_version import content_version
from dj_ops_lib.jobs import JobReport
from dj_ops_lib.report import StageReport

KEY = dg.AssetKey(["s", "media"])


def rows(*ids: str, parent: str | None = None, rejected: int = 0) -> list[dict]:
    """Rows with these ids, the first `rejected` of them rejected."""
    made = [Clip(clip_id=i, source="s", shard="0", parent_id=parent).to_row() for i in ids]
    for row in made[:rejected]:
        row.update(keep=False, rejected_by="video_duration_filter")
    return made


def shard(made, entered, *, schema=CLIP_SCHEMA, bounds=(0.0, 1.0), **counts) -> Shard:
    rejected = sum(not r["keep"] for r in made)
    numbers = {
        "rows_in": len(entered or ()),
        "rows_out": len(made),
        "kept": len(made) - rejected,
        "rejected": {"video_duration_filter": rejected} if rejected else {},
    }
    report = StageReport(table="s/media", shard="0", version=1, **(numbers | counts))
    table = pa.Table.from_pylist(made, schema=CLIP_SCHEMA)
    return Shard(report, table, schema, entered, bounds)


def results(found: Shard) -> tuple[dg.AssetCheckResult, ...]:
    return checks.verdict(KEY, JobReport(found.report, findings(found), "v")).results


def failures(found: Shard) -> dict[str, str]:
    return {r.check_name: r.description for r in results(found) if not r.passed}


def test_a_sound_shard_passes_every_check():
    assert failures(shard(rows("a", "b", rejected=1), ["a", "b"])) == {}
    assert failures(shard([], [])) == {}


def test_pieces_account_for_the_clip_that_they_were_cut_from():
    assert failures(shard([*rows("a"), *rows("b1", "b2", parent="b")], ["a", "b"])) == {}


def test_a_lost_row_is_noticed():
    assert "b" in failures(shard(rows("a"), ["a", "b"]))["rows_conserved"]


def test_a_row_from_nowhere_is_noticed():
    found = failures(shard(rows("a", "x"), ["a"]))
    assert "come from nowhere, such as x" in found["rows_conserved"]


@pytest.mark.parametrize(
    "wrong", [{"rows_out": 3}, {"kept": 1}, {"rows_in": 5}, {"errors": {"corrupt": 1}}]
)
def test_counts_that_do_not_add_up_are_noticed(wrong):
    assert set(failures(shard(rows("a", "b"), ["a", "b"], **wrong))) == {"rows_conserved"}


def test_an_annotation_entry_that_left_no_row_is_noticed():
    made = [r | {"annotation_row": i} for i, r in enumerate(rows("a", "b"))]
    assert failures(shard(made, None, rows_in=2)) == {}
    assert "3 entries read, 2" in failures(shard(made, None, rows_in=3))["rows_conserved"]


def test_a_repeated_clip_id_is_noticed():
    assert set(failures(shard(rows("a", "a"), ["a"]))) == {"unique_clip_id"}


def test_a_missing_column_and_a_wrong_type_are_noticed():
    wide = CLIP_SCHEMA.append(pa.field("score", pa.float64()))
    assert "score is missing" in failures(shard(rows("a"), ["a"], schema=wide))["schema"]
    other = pa.schema([f if f.name != "fps" else pa.field("fps", pa.int32()) for f in CLIP_SCHEMA])
    assert "fps is double" in failures(shard(rows("a"), ["a"], schema=other))["schema"]


def test_too_few_rows_kept_is_a_warning_and_the_rest_stops_the_run():
    found = shard(rows("a", "b", rejected=2), ["a", "b"], bounds=(0.1, 1.0))
    (result,) = [r for r in results(found) if not r.passed]
    assert result.check_name == "keep_rate"
    assert result.severity is dg.AssetCheckSeverity.WARN
    blocking = {s.name: s.blocking for s in checks.specs(KEY, "s")}
    assert blocking == {
        "schema": True,
        "unique_clip_id": True,
        "rows_conserved": True,
        "keep_rate": False,
        "error_share": True,
        "layout": False,
    }


@pytest.mark.parametrize(
    ("failed", "errors", "severity"),
    [
        (1, (0.05, 0.5), None),  # 5 % is the most that is expected
        (2, (0.05, 0.5), dg.AssetCheckSeverity.WARN),
        (10, (0.05, 0.5), dg.AssetCheckSeverity.WARN),
        (11, (0.05, 0.5), dg.AssetCheckSeverity.ERROR),
        (11, (0.6, 0.8), None),
        (1, (0.0, 0.0), dg.AssetCheckSeverity.ERROR),
        (20, (1.0, 1.0), None),
    ],
)
def test_rows_in_error_warn_above_one_share_and_block_above_another(failed, errors, severity):
    made = rows(*map(str, range(20)))
    error = {"operator": "media", "class": "missing", "message": "gone", "attempts": 1}
    for row in made[:failed]:
        row.update(keep=False, error=error)
    found = shard(made, [r["clip_id"] for r in made], kept=20 - failed, rejected={})
    found = dataclasses.replace(
        found,
        report=dataclasses.replace(found.report, errors={"missing": failed}),
        errors=errors,
    )
    wrong = [r for r in results(found) if not r.passed]
    assert [(r.check_name, r.severity) for r in wrong] == (
        [("error_share", severity)] if severity else []
    )
    said = f"{failed} of 20 rows are in error ({failed} missing)"
    assert all(said in r.description for r in wrong)


def test_the_version_of_a_shard_depends_on_its_rows_and_not_on_their_order():
    one, other, changed = (
        content_version(shard(r, ["a", "b"]).rows)
        for r in (rows("a", "b"), rows("b", "a"), rows("a", "b", rejected=1))
    )
    assert one == other
    assert one != changed


def test_what_fields_say_of_themselves_is_no_part_of_a_shards_version():
    table = shard(rows("a"), ["a"]).rows
    said = [f.with_metadata({"edges": "e", "description": f"new {f.name}"}) for f in table.schema]
    turned = [f.with_metadata(dict(reversed(f.metadata.items()))) for f in said]
    versions = {
        content_version(pa.Table.from_arrays(table.columns, schema=pa.schema(fields)))
        for fields in (table.schema, said, turned)
    }
    assert len(versions) == 1
