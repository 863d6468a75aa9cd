import os
import zipfile
from collections import OrderedDict

import ml_dtypes
import numpy as np
import pytest
from torch_format import (
    spell,
    spell_dict,
    spell_global,
    spell_tensor,
    write_program,
    write_torch,
)

from maskformer_jax.convert.readers import read_tensors
from maskformer_jax.errors import UserError

TENSORS = {
    "a.weight": np.arange(6, dtype=np.float32).reshape(2, 3),
    "b.index": np.array([[1, -2]], np.int64),
    "c.half": np.float16([0.5]),
    "d.bfloat16": np.array([1.5, -3.0], ml_dtypes.bfloat16),
    "e.empty": np.zeros((0, 4), np.float32),
    "f.scalar": np.array(7, np.int64),
    "g.flag": np.array([True, False]),
    "h.long": np.arange(3000, dtype=np.float64),
}
plain_and_zip = pytest.mark.parametrize("plain", [True, False])


def assert_equal(actual, expected):
    assert list(actual) == list(expected)
    for name, tensor in expected.items():
        wanted = tensor.astype(np.float32) if tensor.dtype == ml_dtypes.bfloat16 else tensor
        assert actual[name].dtype == wanted.dtype
        np.testing.assert_array_equal(actual[name], wanted)


@plain_and_zip
def test_reads_both_formats(tmp_path, plain):
    assert_equal(read_tensors(write_torch(tmp_path / "x.pth", TENSORS, plain=plain)), TENSORS)


@plain_and_zip
@pytest.mark.parametrize("key", [None, "model", "state_dict"])
def test_reads_what_pytorch_writes(tmp_path, plain, key):
    torch = pytest.importorskip("torch", reason="needs the extra `parity`")
    state = OrderedDict(
        (name, torch.from_numpy(array.astype(np.float32)).bfloat16())
        if array.dtype == ml_dtypes.bfloat16
        else (name, torch.from_numpy(array.copy()))
        for name, array in TENSORS.items()
    )
    base = torch.arange(24.0).reshape(4, 6)
    state["view"] = base[1:3, ::2]
    state["transposed"] = torch.nn.Parameter(base.T)
    content = state if key is None else {key: state, "epoch": 3, "size": base.shape}
    torch.save(content, tmp_path / "x.pth", _use_new_zipfile_serialization=not plain)
    whole = np.arange(24, dtype=np.float32).reshape(4, 6)
    expected = TENSORS | {"view": whole[1:3, ::2], "transposed": whole.T}
    assert_equal(read_tensors(tmp_path / "x.pth"), expected)


@plain_and_zip
def test_views_share_a_storage(tmp_path, plain):
    whole = np.arange(6, dtype=np.float32)
    shape = np.zeros((2, 2), np.float32)
    program = spell_dict(
        {
            "x": spell_tensor(shape, "0", plain=plain, offset=1, stride=(2, 1)),
            "y": spell_tensor(shape, "0", plain=plain, stride=(1, 2)),
        }
    )
    tensors = read_tensors(write_program(tmp_path / "x.pth", program, [whole], plain=plain))
    np.testing.assert_array_equal(tensors["x"], [[1, 2], [3, 4]])
    np.testing.assert_array_equal(tensors["y"], [[0, 2], [1, 3]])


@plain_and_zip
@pytest.mark.parametrize(
    ("offset", "stride"), [(3, (2, 1)), (-1, (2, 1)), (0, (9, 1)), (3, (-1, 1))]
)
def test_a_tensor_outside_its_storage_is_refused(tmp_path, plain, offset, stride):
    shape = np.zeros((2, 2), np.float32)
    tensor = spell_tensor(shape, "0", plain=plain, offset=offset, stride=stride)
    path = write_program(
        tmp_path / "x.pth", spell_dict({"x": tensor}), [np.zeros(6, np.float32)], plain=plain
    )
    with pytest.raises(UserError, match=r"x\.pth: damaged.*outside its storage"):
        read_tensors(path)


@plain_and_zip
@pytest.mark.parametrize("name", ["os.system", "builtins.eval", "torch.load", "torch.nn.Linear"])
def test_other_globals_are_refused_before_anything_runs(tmp_path, plain, name, monkeypatch):
    monkeypatch.setattr(
        "maskformer_jax.convert.torch_files.load",
        lambda *_, **__: pytest.fail("the second pass began"),
    )
    touched = tmp_path / "touched"
    call = spell_global(name) + b"(" + spell(f"touch {touched}") + b"tR"
    path = write_torch(tmp_path / "x.pth", TENSORS, plain=plain, extra=call)
    with pytest.raises(UserError, match=rf"x\.pth: refused, nothing of it was run.*{name}"):
        read_tensors(path)
    assert not touched.exists()


@plain_and_zip
@pytest.mark.parametrize("keep", [0.0, 0.05, 0.5, 0.99])
def test_truncated_files(tmp_path, plain, keep):
    path = write_torch(tmp_path / "x.pth", TENSORS, plain=plain)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * keep)])
    with pytest.raises(UserError, match=r"x\.pth: damaged or truncated"):
        read_tensors(path)


def test_an_archive_of_something_else(tmp_path):
    with zipfile.ZipFile(tmp_path / "x.pth", "w") as archive:
        archive.writestr("word/document.xml", "<w/>")
    with pytest.raises(UserError, match=r"x\.pth: damaged or truncated, or not a PyTorch file"):
        read_tensors(tmp_path / "x.pth")
    (tmp_path / "y.pth").write_bytes(os.urandom(5000))
    with pytest.raises(UserError, match=r"y\.pth: damaged or truncated, or not a PyTorch file"):
        read_tensors(tmp_path / "y.pth")
