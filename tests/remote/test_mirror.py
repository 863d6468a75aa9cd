"""Copies between a folder and an object store: what goes first, what stays, what is refused."""

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest

from maskformer_jax.__main__ import main
from maskformer_jax.errors import UserError
from maskformer_jax.remote import lock, workdir
from maskformer_jax.remote.address import is_address, open_store
from maskformer_jax.remote.mirror import Mirror
from maskformer_jax.remote.workdir import fetch_checkpoint, remote_workdir


def write_checkpoint(folder: Path, step: int, *, score: float = 0.0) -> None:
    for name, text in {
        "model/a/0": f"weights {step}",
        "meta/metadata": "{}",
        "metrics/metrics": json.dumps({"PQ": score}),
        "digests.json": "{}",
    }.items():
        path = folder / "checkpoints" / str(step) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def names(address: str) -> list[str]:
    store, root = open_store(address)
    return sorted(path.removeprefix(f"{root}/") for path in store.find(root))


def test_round_trip(store: str, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    write_checkpoint(folder, 10)
    (folder / "metrics.jsonl").write_text('{"step": 1}\n')
    (folder / "eval/step_1").mkdir(parents=True)
    (folder / "eval/step_1/a photo é.png").write_bytes(b"png")
    (folder / ".train.lock").write_text("")
    (folder / "checkpoints/20.orbax-checkpoint-tmp-3/model").mkdir(parents=True)
    (folder / "checkpoints/20.orbax-checkpoint-tmp-3/model/half").write_text("")
    Mirror(store, folder).push()
    other = tmp_path / "other"
    Mirror(store, other).pull()
    found = {
        p.relative_to(other).as_posix(): p.read_bytes() for p in other.rglob("*.*") if p.is_file()
    }
    assert set(found) == {
        "metrics.jsonl",
        "eval/step_1/a photo é.png",
        "checkpoints/10/digests.json",
    }
    assert (other / "checkpoints/10/model/a/0").read_text() == "weights 10"
    assert not (other / "checkpoints/20.orbax-checkpoint-tmp-3").exists()


def test_order_of_copies(store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The log comes before the checkpoints, the digests of each last: a kill leaves no gap."""
    write_checkpoint(tmp_path, 10)
    write_checkpoint(tmp_path, 9)
    (tmp_path / "metrics.jsonl").write_text("")
    mirror = Mirror(store, tmp_path)
    copied: list[str] = []
    call = mirror._call

    def record(method: str, *arguments: Any) -> Any:
        if method == "put_file":
            copied.append(arguments[1].rpartition("one/")[2])
        return call(method, *arguments)

    monkeypatch.setattr(mirror, "_call", record)
    mirror.push()
    assert copied[0] == "metrics.jsonl"
    assert copied[4] == "checkpoints/9/digests.json"
    assert copied[-1] == "checkpoints/10/digests.json"
    copied.clear()
    mirror.push()
    assert copied == []  # nothing has changed


def test_deleted_checkpoints_go_and_those_of_others_stay(store: str, tmp_path: Path) -> None:
    mirror = Mirror(store, tmp_path / "a")
    for step in (1, 2):
        write_checkpoint(tmp_path / "a", step)
    (tmp_path / "a/metrics.jsonl").write_text("")
    mirror.push()
    import shutil

    shutil.rmtree(tmp_path / "a/checkpoints/1")
    (tmp_path / "a/metrics.jsonl").unlink()
    mirror.push()
    left = names(store)
    assert not any(name.startswith("checkpoints/1/") for name in left)
    assert "checkpoints/2/digests.json" in left
    assert "metrics.jsonl" in left  # only checkpoints are ever removed
    Mirror(store, tmp_path / "empty").push()
    assert names(store) == left


def test_fetching_means_what_paths_mean(store: str, tmp_path: Path) -> None:
    for step, score in ((1, 5.0), (2, 9.0), (3, 7.0), (4, 1.0)):
        write_checkpoint(tmp_path, step, score=score)
    (tmp_path / "config.json").write_text("{}")
    Mirror(store, tmp_path).push()
    from maskformer_jax.checkpoints.workdir import newest_step

    for end, step in (("", 4), ("/last", 4), ("/best", 2), ("/checkpoints/3", 3), ("/", 4)):
        path = fetch_checkpoint(store + end)
        assert newest_step(path) == step
    with pytest.raises(UserError, match="no such checkpoint"):
        fetch_checkpoint("s3://bucket/nothing")


def test_second_training_is_refused(
    store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with remote_workdir(store) as folder:
        (folder / "metrics.jsonl").write_text("mine")
        with pytest.raises(UserError, match="another training is running"), remote_workdir(store):
            pass
        assert (folder / "metrics.jsonl").read_text() == "mine"  # the refusal changed nothing
    with remote_workdir(store) as folder:
        assert (folder / "metrics.jsonl").read_text() == "mine"


@pytest.mark.parametrize(
    ("change", "refused"),
    [
        ({}, True),
        ({"time": 0.0}, False),  # not renewed for long
        ({"process": 2**22 + 1}, False),  # killed, on this machine
        ({"process": 2**22 + 1, "host": "elsewhere"}, True),
    ],
)
def test_lock_ends(store: str, tmp_path: Path, change: dict[str, Any], refused: bool) -> None:
    mirror = Mirror(store, tmp_path)
    held = {"owner": "x", "time": time.time(), "process": os.getpid()}
    held |= {"host": lock.socket.gethostname(), **change}
    mirror.write(lock.LOCK_FILE, json.dumps(held).encode())
    if refused:
        with pytest.raises(UserError, match="another training"):
            lock.StoreLock(mirror)
    else:
        lock.StoreLock(mirror).release()
        assert mirror.read(lock.LOCK_FILE) is None


def test_store_that_fails_at_the_end_loses_nothing(
    store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    run = remote_workdir(store)
    folder = run.__enter__()
    (folder / "metrics.jsonl").write_text("kept")
    monkeypatch.setattr(Mirror, "push", _fail)
    with pytest.raises(UserError, match="All that the run has written is in") as raised:
        run.__exit__(None, None, None)
    kept = Path(str(raised.value).rpartition(" is in ")[2])
    monkeypatch.undo()
    assert kept != folder  # which the next start empties
    assert (kept / "metrics.jsonl").read_text() == "kept"


def _fail(self: Mirror) -> None:
    raise UserError(f"{self.address}: put_file failed: no route")


def test_copies_go_on_while_it_runs(
    store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(workdir, "EVERY_S", 0.05)
    with remote_workdir(store) as folder:
        (folder / "metrics.jsonl").write_text("first")
        for _ in range(200):
            if Mirror(store, tmp_path / "x").read("metrics.jsonl") == b"first":
                break
            time.sleep(0.05)
        else:
            pytest.fail("nothing was copied")


def test_addresses_elsewhere_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert is_address("gs://bucket/x")
    assert not is_address("/data/s3:/x")
    for command in (
        ["finetune", "data", "--workdir=s3://bucket/run"],
        ["predict", "--checkpoint=x", "--output=gs://bucket/out", "a.jpg"],
        ["train", "--config=shapes/maskformer_R18", "--workdir=x", "--config.data.root=s3://b/d"],
    ):
        assert main(command) == 1
        assert "mount the bucket" in capsys.readouterr().err
    assert (
        main(
            [
                "train",
                "--config=shapes/maskformer_R18",
                "--workdir=s3://bucket",
                "--config.data.root=/",
            ]
        )
        == 1
    )
    assert "should be gs://BUCKET/FOLDER" in capsys.readouterr().err
