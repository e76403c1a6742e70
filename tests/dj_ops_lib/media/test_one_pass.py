"""All plans of a clip are served by one pass: nothing is read or decoded twice."""

from __future__ import annotations

import functools
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from media_truth import Seen, clip, ffmpeg, shown
from plan_truth import SMALL, Span, expected, look, part

from dj_ops_lib.media import sparse
from dj_ops_lib.media.access import Access
from dj_ops_lib.media.frames import decode
from dj_ops_lib.media.probe import probe
from dj_ops_lib.needs import At, Audio, Every, Fps, Frame, Frames, KeyFrames, Need, Packets, Uniform

KINDS = ["cfr", "vfr", "open_gop", "edit_list", "late", "fragmented", "long_gop", "slides"]
KINDS += ["mkv", "ts", "flv", "webm", "hevc", "divx", "mpeg"]

FEW = st.one_of(st.just(KeyFrames()), st.builds(Uniform, st.integers(1, 12)))
ALL = st.one_of(FEW, st.just(Every()), st.builds(Fps, st.floats(0.5, 30), st.booleans()))
PLANS = st.one_of(st.lists(FEW, min_size=1, max_size=4), st.lists(ALL, min_size=1, max_size=4))
SPANS = st.one_of(
    st.just((None, None)),
    st.tuples(st.floats(0, 4.5).map(lambda s: round(s, 3)), st.none()),
    st.tuples(st.integers(0, 4000), st.integers(50, 3000)).map(
        lambda both: (both[0] / 1000, sum(both) / 1000)
    ),
)


@settings(
    max_examples=120,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(kind=st.sampled_from(KINDS), plans=PLANS, span=SPANS, others=st.sets(st.sampled_from("as")))
def test_any_plans_together_get_their_frames_and_each_is_decoded_once(
    kind: str,
    plans: list[At],
    span: Span,
    others: set[str],
    videos: dict[str, Path],
    access: Access,
) -> None:
    path = videos[kind]
    assume((span[0] or 0) < probe(str(path), access).duration_s - 0.05)
    seen = [Seen() for _ in plans]
    wanted: list[tuple[Need, Seen]] = [
        (Frames(at, SMALL), s) for at, s in zip(plans, seen, strict=True)
    ]
    needs: dict[str, Need] = {"a": Audio(rate=16_000), "s": Packets()}
    wanted += [(needs[other], Seen()) for other in sorted(others)]
    report = decode(part(path, access, span), wanted, access)
    whole = every_frame(path, access)
    for at, found in zip(plans, seen, strict=True):
        assert found.times == pytest.approx(expected(path, access, at, span), abs=2e-3), at
        for frame in found.frames:
            (same,) = [f for f in whole if abs(f.pts_s - frame.pts_s) < 2e-3] or [frame]
            assert np.array_equal(frame.image, same.image), (at, frame.pts_s)
    assert report.frames_decoded <= len(shown(path))
    if "a" in others and kind in {"cfr", "mkv", "ts", "flv", "webm"}:
        assert report.audio_samples > 0


@functools.cache
def every_frame(path: Path, access: Access) -> list[Frame]:
    """All frames of a file, decoded from its beginning to its end."""
    (seen,) = look(path, access, Every(), span=(None, None))
    return seen.frames


def test_key_frames_uniform_frames_packets_and_sound_are_one_reading(
    videos: dict[str, Path], access: Access
) -> None:
    path = videos["cfr"]
    with av.open(str(path)) as container:
        packets = sum(packet.size > 0 for packet in container.demux())
    keys, three, raw, sound = Seen(), Seen(), Seen(), Seen()
    wanted: list[tuple[Need, Seen]] = [(Frames(KeyFrames(), SMALL), keys), (Packets(), raw)]
    wanted += [(Frames(Uniform(3), SMALL), three), (Audio(rate=16_000), sound)]
    report = decode(clip(path), wanted, access)
    assert (report.packets, report.seeks) == (packets, 0)
    assert len(raw.packets) == 120
    assert keys.times == pytest.approx([0, 1.25, 2.5, 3.75])
    assert three.times == pytest.approx([0, 2.5, 119 / 24])
    # Three key frames by themselves, and the last group of 30 for the last frame.
    assert report.frames_decoded == 3 + 30
    # The frames at 0 s and 2.5 s are both, and are converted once.
    assert (report.frames_delivered, report.conversions) == (4 + 3, 4 + 1)


def test_a_group_of_pictures_too_large_to_hold_back_is_decoded_on_the_way(
    videos: dict[str, Path], access: Access, monkeypatch: pytest.MonkeyPatch
) -> None:
    plans: list[At] = [KeyFrames(), Uniform(2), Uniform(5)]
    for limit in (0, 2_000):
        monkeypatch.setattr(sparse, "_HELD_BYTES", limit)
        for kind in ("cfr", "open_gop", "long_gop", "avi"):
            for span in ((None, None), (1.5, 2.25)):
                found = look(videos[kind], access, *plans, span=span)
                for at, seen in zip(plans, found, strict=True):
                    truth = expected(videos[kind], access, at, span)
                    assert seen.times == pytest.approx(truth, abs=2e-3), (kind, limit, at)


@pytest.fixture(scope="module")
def heavy(videos: dict[str, Path]) -> Path:
    """Three groups of pictures of several megabytes each."""
    path = videos["cfr"].parent / "heavy.mp4"
    ffmpeg("-f", "lavfi", "-i", "testsrc2=size=640x360:rate=24:duration=3", "-vf",
           "noise=alls=100:allf=t", "-c:v", "libx264", "-preset", "ultrafast", "-qp", "12",
           "-g", "24", "-sc_threshold", "0", "-bf", "2", "-pix_fmt", "yuv420p", path)  # fmt: skip
    return path


def test_what_lies_between_key_frames_is_not_read_where_it_is_much(
    heavy: Path, access: Access
) -> None:
    assert heavy.stat().st_size > 3 * 4 * 2**20
    for span in ((None, None), (0.5, 2.9)):
        (keys,) = look(heavy, access, KeyFrames(), span=span)
        assert keys.times == pytest.approx(expected(heavy, access, KeyFrames(), span))
    report = decode(clip(heavy), [(Frames(KeyFrames(), SMALL), Seen())], access)
    assert (report.frames_decoded, report.seeks) == (3, 2)
    assert report.packets < 30  # of 72: the last group is read to the file's end
    both = look(heavy, access, KeyFrames(), Uniform(4), span=(None, None))
    assert both[1].times == pytest.approx(expected(heavy, access, Uniform(4), (None, None)))


def test_nothing_is_left_unread_where_packets_or_sound_are_wanted(
    heavy: Path, access: Access
) -> None:
    raw = Seen()
    report = decode(clip(heavy), [(Frames(KeyFrames(), SMALL), Seen()), (Packets(), raw)], access)
    assert (len(raw.packets), report.seeks) == (72, 0)


def test_a_file_cut_off_behind_its_header_is_damaged_for_key_frames_too(
    heavy: Path, access: Access
) -> None:
    from dj_ops_lib.errors import MediaError

    cut = heavy.parent / "heavy_cut.mp4"
    ffmpeg("-i", heavy, "-c", "copy", "-movflags", "faststart", cut)
    content = cut.read_bytes()
    cut.write_bytes(content[: len(content) * 2 // 3])
    assert probe(str(cut), access).num_frames == 72
    with pytest.raises(MediaError) as caught:
        decode(clip(cut), [(Frames(KeyFrames(), SMALL), Seen())], access)
    assert caught.value.error_class == "decode_error"
