"""The whole graph on the demo corpus: every clip ends as the corpus's truth says."""

from __future__ import annotations

import itertools
import os
import re
from typing import Any

import dagster as dg
import polars as pl
import pytest

from dj_assets.build import build_defs
from dj_assets.runs import latest
from dj_ops_lib.checks import DESCRIPTIONS

pytestmark = pytest.mark.timeout(900)

STAGES = ("clips", "cleaned", "deduplicated")


@pytest.fixture(scope="module")
def tables(demo) -> dict[str, pl.DataFrame]:
    """The tables of clips, by name: not the manifests, nor what was measured."""
    every = {name: demo.warehouse.lazy(name).collect() for name in demo.warehouse.tables()}
    return {name: rows for name, rows in every.items() if {"clip_id", "keep"} <= set(rows.columns)}


@pytest.fixture(scope="module")
def instance(demo):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DAGSTER_HOME", demo.environment["DAGSTER_HOME"])
        with dg.DagsterInstance.get() as instance:
            yield instance


def outcome_of(piece: dict[str, Any], source: str, tables: dict[str, pl.DataFrame]):
    """Where a clip of `clips` got to: the last table that has it, and its row there."""
    row, stage = piece, "clips"
    for following in STAGES[1:]:
        found = tables[f"{source}/t2v/{following}"].filter(clip_id=piece["clip_id"])
        if found.is_empty():
            break
        row, stage = found.row(0, named=True), following
    return stage, row


def problems_of(truth: dict[str, Any], tables: dict[str, pl.DataFrame]) -> list[str]:
    """What is different from the truth for one annotated clip."""
    source, where = truth["source"], f"{truth['source']}/{truth['source_id']}"
    entry = tables[f"{source}/raw"].filter(
        pl.col("annotation_file") == truth["annotation_file"],
        pl.col("annotation_row") == truth["annotation_row"],
        pl.col("start_s").eq_missing(truth["annotated_start_s"]),
        pl.col("end_s").eq_missing(truth["annotated_end_s"]),
    )
    if len(entry) != 1:
        return [f"{where}: {len(entry)} rows in raw"]
    media = tables[f"{source}/media"].filter(clip_id=entry["clip_id"][0]).row(0, named=True)
    found = []
    if media["availability"] != truth["availability"]:
        found.append(f"{where}: {media['availability']}, not {truth['availability']}")
    if "outcome" in truth:
        if (media["error"] or {}).get("class") != truth["outcome"]["error"]:
            found.append(f"{where}: {media['error']}, not {truth['outcome']}")
        return found
    pieces = tables[f"{source}/t2v/clips"].filter(
        (pl.col("clip_id") == media["clip_id"]) | (pl.col("parent_id") == media["clip_id"])
    )
    rows = pieces.sort("start_s").to_dicts()
    if len(rows) != len(truth["pieces"]):
        return [*found, f"{where}: {len(rows)} pieces, not {len(truth['pieces'])}"]
    for row, piece in zip(rows, truth["pieces"], strict=True):
        start = row["start_s"] or 0.0
        end = start + row["duration_s"] if row["end_s"] is None else row["end_s"]
        off = max(abs(start - piece["start_s"]), abs(end - piece["end_s"]))
        if off > piece["tolerance_s"]:
            found.append(f"{where}: {start} to {end} s, not {piece}")
        stage, last = outcome_of(row, source, tables)
        wanted = piece["outcome"]
        got = {"stage": stage, "keep": last["keep"], "rejected_by": last["rejected_by"]}
        if got != {"rejected_by": None} | {k: wanted[k] for k in got.keys() & wanted.keys()}:
            found.append(f"{where} from {piece['start_s']}: {got} {last['error']}, not {wanted}")
        if original := wanted.get("duplicate_of"):
            kept = tables[f"{source}/t2v/{stage}"].filter(clip_id=last.get("duplicate_of"))
            known = {name: kept[name].to_list() for name in original}
            if known != {name: [value] for name, value in original.items()}:
                found.append(f"{where}: repeats {known}, not {original}")
    return found


def test_every_clip_ends_as_the_corpus_was_made(demo, tables):
    found = itertools.chain.from_iterable(problems_of(clip, tables) for clip in demo.truth["clips"])
    assert list(found) == []


def test_every_malformed_entry_is_an_error_row_with_its_line(demo, tables):
    for entry in demo.truth["malformed"]:
        rows = tables[f"{entry['source']}/raw"].filter(
            pl.col("annotation_row") == entry["annotation_row"],
            pl.col("annotation_file") == entry["annotation_file"],
            pl.col("error").is_not_null(),
        )
        errors = rows["error"].struct.field("class").to_list()
        assert entry["outcome"]["error"] in errors, entry


def test_nothing_is_lost_or_invented_between_the_tables(tables):
    for source in ("msr_vtt", "internvid", "panda70m"):
        recipes = ["t2v", "strict"] if source == "msr_vtt" else ["t2v"]
        for recipe in recipes:
            chain = [f"{source}/raw", f"{source}/media"]
            chain += [f"{source}/{recipe}/{stage}" for stage in STAGES]
            for before, after in itertools.pairwise(chain):
                entered = set(tables[before].filter("keep")["clip_id"])
                rows = tables[after]
                made_from = {
                    clip if clip in entered else parent
                    for clip, parent in rows.select("clip_id", "parent_id").iter_rows()
                }
                assert made_from == entered, (before, after)
                assert rows["clip_id"].is_unique().all()


def test_every_row_is_kept_rejected_or_in_error(tables):
    for name, rows in tables.items():
        reasons = rows.select(
            pl.col("keep").cast(int)
            + pl.col("rejected_by").is_not_null().cast(int)
            + pl.col("error").is_not_null().cast(int)
        ).to_series()
        assert (reasons == 1).all(), name


def test_every_shard_of_every_stage_is_materialized_by_a_run_that_succeeded(demo, instance):
    graph = build_defs().resolve_asset_graph()
    for source, said in demo.truth["sources"].items():
        keys = [k for k in graph.get_all_asset_keys() if k.path[0] == source]
        for key in keys:
            made = latest(instance, key)
            assert set(made) == ({None} if key.path[-1] == "manifest" else set(said["shards"]))
            assert all(instance.get_run_by_id(m.run_id).is_success for m in made.values())


def test_the_event_log_counts_the_rows_that_the_tables_hold(tables, instance):
    for name, rows in tables.items():
        events = latest(instance, dg.AssetKey(name.split("/"))).values()
        counted = {
            "dagster/partition_row_count": len(rows),
            "rows_kept": rows["keep"].sum(),
            "rows_rejected": rows["rejected_by"].is_not_null().sum(),
            "rows_error": rows["error"].is_not_null().sum(),
        }
        logged = {k: sum(e.metadata[k].value for e in events) for k in counted}
        assert logged == counted, name


def test_checks_are_evaluated_for_every_shard(demo, instance, tables):
    """None fails; those warn of whose rows, by intention, more than 5 % are in error."""
    evaluated, warned = set(), set()
    for key in build_defs().resolve_asset_graph().get_all_asset_keys():
        for run_id in {m.run_id for m in latest(instance, key).values()}:
            entries = instance.all_logs(run_id, of_type=dg.DagsterEventType.ASSET_CHECK_EVALUATION)
            for entry in entries:
                found = entry.get_dagster_event().asset_check_evaluation_data
                assert found.passed or found.severity is dg.AssetCheckSeverity.WARN, found
                if not found.passed:
                    warned.add((found.asset_key.to_user_string(), found.partition))
                evaluated.add((found.asset_key.to_user_string(), found.check_name, found.partition))
    shards = {s: len(said["shards"]) for s, said in demo.truth["sources"].items()}
    stages = {"msr_vtt": 8, "internvid": 5, "panda70m": 5}
    assert len(evaluated) == sum(len(DESCRIPTIONS) * stages[s] * n for s, n in shards.items())
    ill = set()
    for name, rows in tables.items():
        share = rows.group_by("shard").agg(pl.col("error").is_not_null().mean())
        ill |= {(name, s) for s in share.filter(pl.col("error") > 0.05)["shard"]}
    assert ("msr_vtt/media", "00003") in ill
    assert warned == ill


def test_the_printed_table_says_what_the_tables_hold(demo, tables):
    printed = (demo.folder / "printed.txt").read_text(encoding="utf-8")
    rows = tables["panda70m/t2v/cleaned"]
    line = next(x for x in printed.partition("panda70m   ")[2].splitlines() if " cleaned " in x)
    numbers = [int(n) for n in re.findall(r"(?<= )\d+(?= )", line)][:2]
    assert numbers == [len(rows), rows["keep"].sum()]
    assert "asset checks evaluated, none failed" in printed
    assert re.search(
        r"^warned: msr_vtt/media 00003 error_share: 4 of 8 rows", printed, re.MULTILINE
    )
    assert "make ui" in printed


@pytest.mark.slow
def test_a_second_demo_leaves_finished_shards_alone(demo):
    versions = {t: demo.warehouse.version(t) for t in demo.warehouse.tables() if "/t2v/" in t}
    printed = demo.run()
    count = sum(len(s["shards"]) for s in demo.truth["sources"].values())
    assert f"{count} of {count} shards are up to date" in printed
    assert versions == {t: demo.warehouse.version(t) for t in versions}


@pytest.mark.slow
def test_a_demo_killed_on_the_way_ends_as_if_nothing_had_happened(demo, tables, tmp_path_factory):
    again = type(demo)(tmp_path_factory.mktemp("killed"))
    (again.folder / "data").symlink_to(demo.folder / "data")
    process = again.start()
    for line in process.stdout:  # the first shard is done, others are on their way
        if re.match(r"\w+-0000\d: done", line):
            break
    process.kill()
    process.wait()
    process.stdout.close()
    again.run()
    for name in tables:
        left, right = (
            d.warehouse.lazy(name).select("clip_id", "keep", "rejected_by").collect()
            for d in (demo, again)
        )
        assert left.sort("clip_id").equals(right.sort("clip_id")), name
    assert os.path.lexists(again.folder / "dagster_home" / "dagster.yaml")
