import io
import os
import pickle
import pickletools
from collections import OrderedDict

import ml_dtypes
import numpy as np
import pytest
from safetensors.numpy import save_file

from maskformer_jax.convert import pickles
from maskformer_jax.convert.readers import read_tensors
from maskformer_jax.errors import UserError

TENSORS = {
    "a.weight": np.arange(6, dtype=np.float32).reshape(2, 3),
    "b.fortran": np.asfortranarray(np.arange(6, dtype=np.float64).reshape(2, 3)),
    "c.index": np.array([[1, -2]], np.int64),
    "d.half": np.float16([0.5]),
    "e.empty": np.zeros((0, 4), np.float32),
    "f.long": np.arange(3000, dtype=np.float32),  # long enough for the first pass to skip it
}


class Exploit:
    """Runs a command when unpickled, the classic way."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def write(path, content, protocol=4):
    path.write_bytes(pickle.dumps(content, protocol=protocol))
    return path


def assert_equal(actual, expected):
    assert list(actual) == list(expected)
    for name in expected:
        assert actual[name].dtype == expected[name].dtype
        np.testing.assert_array_equal(actual[name], expected[name])


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("wrap", [dict, OrderedDict])
def test_reads_every_protocol(tmp_path, protocol, wrap):
    content = {"model": wrap(TENSORS), "__author__": "me", "matching_heuristics": True}
    assert_equal(read_tensors(write(tmp_path / "x.pkl", content, protocol)), TENSORS)


def test_reads_names_of_older_numpy(tmp_path):
    # NumPy 1 calls the same module by another name of another length: protocol 0 is plain text.
    data = pickle.dumps(TENSORS, protocol=0)
    data = data.replace(b"numpy._core.", b"numpy.core.")
    path = tmp_path / "x.pkl"
    path.write_bytes(data)
    assert_equal(read_tensors(path), TENSORS)


def test_reads_bare_dicts_and_npz(tmp_path):
    assert_equal(read_tensors(write(tmp_path / "x.pkl", TENSORS)), TENSORS)
    np.savez(tmp_path / "x.npz", **TENSORS)
    assert_equal(read_tensors(str(tmp_path / "x.npz")), TENSORS)


def contiguous():
    return {name: np.ascontiguousarray(x) for name, x in TENSORS.items()}


def test_reads_safetensors(tmp_path):
    half = np.array([[1.5, -3.0]], ml_dtypes.bfloat16)
    save_file(contiguous() | {"g.bfloat16": half}, tmp_path / "x.safetensors")
    tensors = read_tensors(tmp_path / "x.safetensors")
    expected = TENSORS | {"g.bfloat16": np.float32([[1.5, -3.0]])}
    assert_equal({name: tensors[name] for name in expected}, expected)


def test_scalars_beside_the_model_are_read(tmp_path):
    content = {"model": TENSORS, "iteration": np.int64(7)}
    assert_equal(read_tensors(write(tmp_path / "x.pkl", content)), TENSORS)


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize(
    ("function", "name"),
    [
        (os.system, f"{os.name}.system"),
        (eval, "builtins.eval"),
        (np.load, "numpy.load"),
        (np.testing.assert_equal, "numpy.testing"),
        (getattr, "builtins.getattr"),
    ],
)
def test_other_globals_are_refused_by_name(tmp_path, protocol, function, name):
    content = {"model": {**TENSORS, "z": Exploit(function, "1")}}
    if protocol < 3:
        name = name.replace("builtins", "__builtin__")
    path = write(tmp_path / "x.pkl", content, protocol)
    with pytest.raises(UserError, match=rf"(?s)x\.pkl: refused.*{name}"):
        read_tensors(path)


def test_nothing_runs_before_the_refusal(tmp_path, monkeypatch):
    touched = tmp_path / "touched"
    path = write(tmp_path / "x.pkl", {"model": TENSORS, "z": Exploit(os.mkdir, str(touched))})
    # Not even an array may be put together.
    monkeypatch.setattr(
        "maskformer_jax.convert.readers.load",
        lambda *_: pytest.fail("the second pass began"),
    )
    with pytest.raises(UserError, match="refused"):
        read_tensors(path)
    assert not touched.exists()


def test_the_second_pass_refuses_by_itself():
    with pytest.raises(pickle.UnpicklingError, match="eval is not allowed"):
        pickles.load(io.BytesIO(pickle.dumps(Exploit(eval, "1"))), pickles.NUMPY_ALLOWED)


def test_all_refused_globals_are_named(tmp_path):
    content = {"a": Exploit(os.mkdir, "x"), "b": Exploit(eval, "1")}
    with pytest.raises(UserError, match=r"\w+\.mkdir.*builtins\.eval"):
        read_tensors(write(tmp_path / "x.pkl", content))


def test_a_truncated_exploit_is_still_called_one(tmp_path):
    data = pickle.dumps({"a": Exploit(os.mkdir, "x"), "b": TENSORS}, protocol=3)
    path = tmp_path / "x.pkl"
    path.write_bytes(data[:-50])
    with pytest.raises(UserError, match="refused"):
        read_tensors(path)


def test_altering_an_allowed_object_is_no_way_in(tmp_path):
    # BUILD on a class or function would set attributes of it.
    code = (
        b"\x80\x02}X\x01\x00\x00\x00acnumpy.core.multiarray\n_reconstruct\n"
        b"}X\x08\x00\x00\x00__code__K\x01sbs."
    )
    pickletools.dis(code, out=io.StringIO())  # a well-formed program
    path = tmp_path / "x.pkl"
    path.write_bytes(code)
    with pytest.raises(UserError):
        read_tensors(path)
    assert_equal(read_tensors(write(tmp_path / "y.pkl", TENSORS)), TENSORS)


SUFFIXES = [".pkl", ".npz", ".safetensors"]


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("keep", [0.0, 0.05, 0.5, 0.99])
def test_truncated_files(tmp_path, suffix, keep):
    path = tmp_path / f"x{suffix}"
    if suffix == ".pkl":
        write(path, {"model": TENSORS})
    elif suffix == ".npz":
        np.savez(path, **TENSORS)
    else:
        save_file(contiguous(), path)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * keep)])
    with pytest.raises(UserError, match=rf"x\{suffix}: damaged or truncated"):
        read_tensors(path)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_files_of_another_kind(tmp_path, suffix):
    path = tmp_path / f"x{suffix}"
    path.write_bytes(b"<html>404</html>" * 100)
    with pytest.raises(UserError, match="damaged or truncated, or not a"):
        read_tensors(path)


def test_npz_may_not_hold_pickles(tmp_path):
    np.savez(tmp_path / "x.npz", a=np.array([Exploit(os.mkdir, "x")], object))
    with pytest.raises(UserError, match=r"x\.npz"):
        read_tensors(tmp_path / "x.npz")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([1, 2], "should hold a dict"),
        ({"model": {1: np.zeros(1)}}, "should hold a dict of named arrays"),
        ({"model": {}}, "holds no tensors"),
        ({"a": np.zeros(1), "b": 3, "c": "x"}, r"not numeric arrays: b \(int\), c \(str\)"),
        ({"a": np.array([{}], object)}, r"not numeric arrays: a \(object\)"),
        ({"a": np.array(["x"])}, r"not numeric arrays: a \(<U1\)"),
    ],
)
def test_contents_that_are_no_tensors(tmp_path, content, message):
    with pytest.raises(UserError, match=message):
        read_tensors(write(tmp_path / "x.pkl", content))


def test_paths_that_cannot_be_read(tmp_path):
    with pytest.raises(UserError, match=r"absent\.pkl: no such file"):
        read_tensors(tmp_path / "absent.pkl")
    (tmp_path / "folder.npz").mkdir()
    with pytest.raises(UserError, match=r"folder\.npz: cannot be read"):
        read_tensors(tmp_path / "folder.npz")
    with pytest.raises(UserError, match=r"cannot read \.txt files"):
        read_tensors(tmp_path / "x.txt")
