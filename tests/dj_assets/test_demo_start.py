"""What the demo refuses before it writes anything, and the instance that it makes."""

from __future__ import annotations

import pytest
import yaml
from rich.console import Console

from dj_assets.demo import corpus, only_one, prepare_instance
from dj_ops_lib.errors import DjError


def test_a_folder_with_other_files_is_left_as_it_is(tmp_path, monkeypatch):
    (tmp_path / "msr_vtt").mkdir()
    (tmp_path / "msr_vtt" / "train_val_videodatainfo.json").write_text("{}")
    monkeypatch.setenv("DJ_DATA", str(tmp_path))
    with pytest.raises(DjError, match="point DJ_DATA at an empty folder"):
        corpus(Console(quiet=True))
    assert [p.name for p in tmp_path.rglob("*")] == ["msr_vtt", "train_val_videodatainfo.json"]


def test_two_demos_on_one_instance_are_refused(tmp_path):
    second = pytest.raises(DjError, match="another demo is running")
    with only_one(tmp_path), second, only_one(tmp_path):
        pytest.fail("the second one started")
    with only_one(tmp_path):
        pass


def test_the_instance_is_made_once_and_calls_nobody(tmp_path, monkeypatch):
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "home"))
    home = prepare_instance()
    settings = yaml.safe_load((home / "dagster.yaml").read_text())
    assert settings["telemetry"] == {"enabled": False}
    assert settings["nux"] == {"enabled": False}
    (home / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    prepare_instance()
    assert (home / "dagster.yaml").read_text() == "telemetry: {enabled: false}\n"
