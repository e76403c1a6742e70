"""Near duplicates through the engine: across shards, again, and by quality."""

import itertools
import subprocess
import sys
import textwrap
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from dj_ops_lib.recipe_file import make_operator
from dj_ops_lib.warehouse import Warehouse
from dj_ops_lib.warehouse.tombstones import Tombstone

NAME = "video_near_deduplicator"
TABLE = "toys/r/cleaned"


def encode(path, seed, width, crf):
    """One second of a slow pan over blobs."""
    cells = np.random.default_rng(seed).integers(0, 256, (9, 16, 3)).astype(np.float32)
    ground = cv2.resize(cells, (480, 180), interpolation=cv2.INTER_CUBIC).clip(0, 255)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = width, width * 9 // 16, "yuv420p"
        stream.options = {"crf": crf, "preset": "ultrafast", "threads": "1"}
        for i in range(25):
            view = ground[:, 2 * i : 2 * i + 320].astype(np.uint8)
            image = cv2.resize(view, (stream.width, stream.height), interpolation=cv2.INTER_AREA)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, "bgr24")))
        container.mux(stream.encode(None))


@pytest.fixture
def copies(workshop):
    """Shard 0: a small copy and another scene; shard 1: a large copy of the first."""
    encode(workshop.videos / "small.mp4", 1, 160, "30")
    encode(workshop.videos / "other.mp4", 2, 320, "23")
    encode(workshop.videos / "large.mp4", 1, 320, "18")
    for shard, names in (("0", ["small", "other"]), ("1", ["large"])):
        workshop.raw(shard, [{"source_id": n} for n in names])
        workshop.probe(shard)
    return workshop


def kept(workshop, *shards):
    return {r["source_id"] for s in shards for r in workshop.rows(shard=s) if r["keep"]}


def encode_after_black(path, seed, black_s, crf="23", width=320):
    """A slow pan after so many seconds of black, four in all."""
    ground = cv2.GaussianBlur(
        np.random.default_rng(seed).integers(0, 256, (240, 400, 3)).astype(np.uint8), (0, 0), 9
    )
    ground = cv2.normalize(ground, None, 0, 255, cv2.NORM_MINMAX)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = width, width * 3 // 4, "yuv420p"
        stream.options = {"crf": crf, "preset": "ultrafast", "threads": "1"}
        for i in range(40):
            image = ground[:, i : i + 320] * (i >= 10 * black_s)
            image = cv2.resize(image, (stream.width, stream.height), interpolation=cv2.INTER_AREA)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, "bgr24")))
        container.mux(stream.encode(None))


def test_unrelated_clips_that_are_black_for_a_while_are_kept_and_their_copies_are_not(workshop):
    names = []
    for black_s, seed in itertools.product((1, 2, 3), range(6)):
        names.append(f"after_{black_s}_{seed}")
        encode_after_black(workshop.videos / f"{names[-1]}.mp4", seed + 10 * black_s, black_s)
    for black_s in (1, 2):
        path = workshop.videos / f"copy_{black_s}.mp4"
        encode_after_black(path, 10 * black_s, black_s, crf="35", width=160)
        names.append(path.stem)
    workshop.raw("0", [{"source_id": n} for n in names])
    workshop.probe("0")
    workshop.run(make_operator(NAME, {}))
    rows = {r["source_id"]: r for r in workshop.rows()}
    dropped = {n: r["duplicate_of"] for n, r in rows.items() if not r["keep"]}
    assert dropped == {f"copy_{s}": rows[f"after_{s}_0"]["clip_id"] for s in (1, 2)}


def test_the_first_published_copy_stays_and_a_second_run_says_the_same(copies):
    operator = make_operator(NAME, {})
    for shard in "01":
        copies.run(operator, shard=shard)
    assert kept(copies, "0", "1") == {"small", "other"}
    (large,) = copies.rows(shard="1")
    assert large["duplicate_of"] == copies.rows(shard="0")[0]["clip_id"]
    assert 0 <= large["duplicate_distance"] <= 0.25
    for shard in "01":
        copies.run(operator, shard=shard)
    assert kept(copies, "0", "1") == {"small", "other"}


def test_a_better_copy_of_a_later_shard_replaces_the_published_one_at_once(copies):
    operator = make_operator(NAME, {"policy": "best"})
    copies.run(operator, shard="0")
    before = {r["source_id"]: r for r in copies.rows(shard="0")}
    report = copies.run(operator, shard="1")
    assert kept(copies, "0", "1") == {"large", "other"}
    (changed,) = report.redecided
    assert (changed.shard, changed.dropped, changed.restored, changed.kept) == ("0", 1, 0, 1)
    assert changed.version == copies.warehouse.version(TABLE) == report.version + 1

    after = {r["source_id"]: r for r in copies.rows(shard="0")}
    (large,) = copies.rows(shard="1")
    decided = {
        "keep": False,
        "rejected_by": NAME,
        "duplicate_of": large["clip_id"],
        "duplicate_distance": after["small"]["duplicate_distance"],
    }
    assert 0 <= decided["duplicate_distance"] <= 0.25
    assert after == {"small": before["small"] | decided, "other": before["other"]}
    assert copies.run(operator, shard="1").redecided == ()
    assert copies.run(operator, shard="0").redecided == ()
    assert kept(copies, "0", "1") == {"large", "other"}


def test_the_other_shards_commit_says_by_whom_and_why_and_what_its_rows_are_made_from(copies):
    operator = make_operator(NAME, {"policy": "best"})
    first = copies.run(operator, shard="0")
    copies.run(operator, shard="1")
    made, _, again = copies.warehouse.history(TABLE, since=first.version - 1)
    assert again.shard == "0"
    assert "shard '1'" in again.provenance.reason
    assert again.provenance.input_table == "toys/media"
    assert again.provenance.input_version == made.provenance.input_version
    assert again.provenance.rows_in == made.provenance.rows_in
    (before,), (after,) = made.provenance.operators, again.provenance.operators
    assert (before.measured, before.rejected, after.measured, after.rejected) == (2, 0, 0, 1)
    explained = copies.warehouse.explain(TABLE, copies.rows(shard="0")[0]["clip_id"])
    assert any("shard '1' changed which copies are kept" in line for line in explained.lines())


def test_the_other_shards_histograms_are_those_of_its_rows_as_they_are_now(copies):
    deduplicator = make_operator(NAME, {"policy": "best"})
    copies.run(deduplicator, shard="0")
    before = histograms(copies, "0")
    assert (before["duration_s"].values, sum(before["duration_s"].kept)) == (2, 2)
    assert before["duplicate_distance"].null == 2
    copies.run(deduplicator, shard="1")
    (small,) = (r for r in copies.rows(shard="0") if not r["keep"])
    after = histograms(copies, "0")
    distance, edges = after["duplicate_distance"], np.linspace(0, 0.5, 51)
    inside, _ = np.histogram([small["duplicate_distance"]], edges)
    assert (distance.counts, distance.null) == ((0, *inside, 0), 1)
    assert distance.kept == (0,) * 52
    inside, _ = np.histogram(
        [r["width"] for r in copies.rows(shard="0")], np.geomspace(16, 2**14, 41)
    )
    assert after["width"].counts == (0, *inside, 0)
    assert [n for n in after["width"].counts if n] == [1, 1]  # 160 and 320 wide
    assert after["width"].kept == (0,) * 18 + (1,) + (0,) * 23  # 320 = 16 * 2 ** (17.3 / 4)


def histograms(workshop, shard):
    found = workshop.warehouse.histograms(TABLE, [shard]).by_shard[shard]
    return {h.column: h for h in found}


def test_a_run_that_is_killed_in_between_keeps_both_and_running_it_again_does_the_rest(
    copies, monkeypatch
):
    operator = make_operator(NAME, {"policy": "best"})
    copies.run(operator, shard="0")
    real = Warehouse.replace_shard

    def killed(self, table, shard, *arguments, **named):
        if shard == "0":
            raise KeyboardInterrupt
        return real(self, table, shard, *arguments, **named)

    with monkeypatch.context() as patched:
        patched.setattr(Warehouse, "replace_shard", killed)
        with pytest.raises(KeyboardInterrupt):
            copies.run(operator, shard="1")
    assert kept(copies, "0", "1") == {"small", "large", "other"}
    assert [r.dropped for r in copies.run(operator, shard="1").redecided] == [1]
    assert kept(copies, "0", "1") == {"large", "other"}


def test_a_run_that_is_overtaken_before_it_drops_the_worse_copy_decides_again(copies, monkeypatch):
    operator = make_operator(NAME, {"policy": "best"})
    copies.run(operator, shard="0")
    real, overtaken = Warehouse.replace_shard, []

    def slow(self, table, shard, *arguments, **named):
        if shard == "0" and not overtaken:
            overtaken.append(True)
            copies.run(operator, shard="0")  # drops its clip by itself
        return real(self, table, shard, *arguments, **named)

    monkeypatch.setattr(Warehouse, "replace_shard", slow)
    report = copies.run(operator, shard="1")
    assert report.redecided == ()
    assert overtaken
    assert report.version == copies.warehouse.version(TABLE)
    assert kept(copies, "0", "1") == {"large", "other"}


@pytest.mark.parametrize("policy", ["first", "best"])
def test_a_clip_comes_back_when_the_shard_of_its_copy_is_made_without_it(copies, policy):
    operator = make_operator(NAME, {"policy": policy})
    shards = "01" if policy == "best" else "10"
    for shard in shards:
        copies.run(operator, shard=shard)
    assert kept(copies, "0", "1") == {"large", "other"}
    copies.raw("1", [])
    copies.probe("1")
    report = copies.run(operator, shard="1")
    assert [(r.shard, r.dropped, r.restored) for r in report.redecided] == [("0", 0, 1)]
    assert kept(copies, "0") == {"small", "other"}
    row = copies.rows(shard="0")[0]
    assert (row["duplicate_of"], row["duplicate_distance"], row["rejected_by"]) == (None,) * 3


def test_a_clip_whose_copy_was_taken_down_comes_back_with_the_next_run_of_any_shard(copies):
    operator = make_operator(NAME, {})
    copies.raw("2", [{"source_id": "other"}])
    copies.probe("2")
    for shard in "012":
        copies.run(operator, shard=shard)
    assert kept(copies, "0", "1", "2") == {"small", "other"}
    copies.warehouse.takedown([Tombstone("source_id", "small")])
    assert kept(copies, "0", "1", "2") == {"other"}
    report = copies.run(operator, shard="2")
    assert [(r.shard, r.restored) for r in report.redecided] == [("1", 1)]
    assert kept(copies, "0", "1", "2") == {"large", "other"}


def test_of_other_shards_only_what_is_compared_is_read(copies, monkeypatch):
    operator = make_operator(NAME, {"policy": "best"})
    copies.run(operator, shard="0")
    real, read = Warehouse.scan, []

    def noted(self, table, **named):
        batches = list(real(self, table, **named))
        read.append((table, set(named["columns"]), sum(b.num_rows for b in batches)))
        return iter(batches)

    monkeypatch.setattr(Warehouse, "scan", noted)
    copies.run(operator, shard="1")
    compared = {"video_perceptual_hash", "video_hash_parts", "video_hash_pixels"}
    compared |= {"video_hash_bit_rate", "video_hash_duration"}
    compared |= {"clip_id", "shard", "keep", "duplicate_of"}
    assert read == [(TABLE, compared, 2)]


def test_clips_that_were_measured_in_another_way_are_not_compared_until_they_are_again(
    copies, monkeypatch
):
    operator = make_operator(NAME, {})
    copies.run(operator, shard="0")
    monkeypatch.setattr(type(operator), "version", "another")
    copies.run(operator, shard="1")
    assert kept(copies, "0", "1") == {"small", "other", "large"}
    copies.run(operator, shard="0")
    assert kept(copies, "0", "1") == {"large", "other"}


PROGRAM = """
    import sys
    sys.path.insert(0, {tests!r})
    from pathlib import Path
    from engine_workshop import Workshop
    from dj_ops_lib.engine.options import EngineOptions
    from dj_ops_lib.media.access import Access
    from dj_ops_lib.recipe_file import make_operator
    from dj_ops_lib.warehouse import Warehouse

    root = Path({root!r})
    options = EngineOptions(access=Access(roots=(str(root / "videos"),)))
    workshop = Workshop(root, Warehouse(str(root / "warehouse")), options)
    operator = make_operator({name!r}, {{"policy": {policy!r}}})
    print("ready", flush=True)
    sys.stdin.readline()
    assert workshop.run(operator, shard={shard!r}).measured == 0
"""


@pytest.mark.parametrize("policy", ["first", "best"])
def test_of_shards_that_are_made_at_the_same_time_exactly_one_keeps_a_copy(copies, policy):
    shards = ["0", "1", "2"]
    encode(copies.videos / "huge.mp4", 1, 480, "18")
    copies.raw("2", [{"source_id": "huge"}, {"source_id": "other"}])
    copies.probe("2")
    for shard in shards:
        copies.run(make_operator(NAME, {}), shard=shard, recipe="measured_before")
    tests = str(Path(__file__).parent)
    names = {"tests": tests, "root": str(copies.root), "name": NAME, "policy": policy}
    programs = [textwrap.dedent(PROGRAM.format(shard=s, **names)) for s in shards]
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", p], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for p in programs
    ]
    assert [p.stdout.readline() for p in processes] == ["ready\n"] * 3
    for process in processes:
        process.stdin.write("\n")
        process.stdin.flush()
    for process in processes:
        process.communicate()
    assert [p.returncode for p in processes] == [0] * 3
    rows = [r for s in shards for r in copies.rows(shard=s)]
    by_id = {r["clip_id"]: r for r in rows}
    stay = [r["source_id"] for r in rows if r["keep"]]
    assert sorted(name == "other" for name in stay) == [False, True]
    assert policy == "first" or "huge" in stay
    for row in rows:
        assert row["keep"] or by_id[row["duplicate_of"]]["keep"]
