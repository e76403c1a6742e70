"""What Data-Juicer answered to a grid of recipes over known videos, and what we answer today.

Its answers were recorded by `benchmarks/data_juicer_operators.py --write`, which runs both; here
the same videos are made again and our side runs. What may differ is listed in
`benchmarks/peer/exceptions.py`, in the words of the compatibility page.
"""

import pytest

from benchmarks.peer.answers import ask_ours
from benchmarks.peer.cases import GRID, cases, file_names
from benchmarks.peer.comparison import differences
from benchmarks.peer.exceptions import explanation
from benchmarks.peer.record import read_record
from benchmarks.peer.videos import write_videos
from dj_ops_lib.operator import Kind
from dj_ops_lib.registry import operator_class

MADE, RECORDED = read_record()

LONG = {"video_motion_score_filter", "video_split_by_scene_mapper", "video_face_blur_mapper"}
"""Operators whose recipes take more than three seconds together."""


@pytest.fixture(scope="session")
def media(tmp_path_factory):
    """The videos, made as they were for the peer."""
    folder = tmp_path_factory.mktemp("media")
    write_videos(folder, file_names())
    return folder


def test_every_recipe_and_file_has_the_peers_answer():
    assert {case.name: set(case.files) for case in cases()} == {
        case: set(answers) for case, answers in RECORDED.items()
    }
    assert MADE["py-data-juicer"] == "1.6.1"


@pytest.mark.parametrize(
    "operator",
    [pytest.param(name, marks=pytest.mark.slow if name in LONG else ()) for name in GRID],
)
def test_a_recipe_of_data_juicers_gives_what_it_gives_there(media, tmp_path, operator):
    found = []
    for case in cases():
        if case.operator == operator:
            ours = ask_ours(case, media, tmp_path, rendered=False)
            theirs = RECORDED[case.name]
            for file in case.files:
                found += differences(case, file, theirs[file], ours[file])
    unexplained = [
        f"{d.case.name}, {d.file}: {d.what}: {d.text}" for d in found if explanation(d) is None
    ]
    assert unexplained == []


@pytest.mark.parametrize("operator", GRID)
def test_the_record_holds_kept_clips_and_what_was_measured_of_dropped_ones(operator):
    kind = operator_class(operator).kind
    answers = [a for c in cases() if c.operator == operator for a in RECORDED[c.name].values()]
    assert sum(a.kept for a in answers) * 4 > len(answers)
    if kind is Kind.FILTER:
        assert any(a.statistics and not a.kept for a in answers)
