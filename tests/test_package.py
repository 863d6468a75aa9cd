import re
import subprocess
import sys
from pathlib import Path

import pytest

import maskformer_jax


@pytest.mark.parametrize("name", maskformer_jax.__all__)
def test_every_name_of_the_package_can_be_had(name):
    assert getattr(maskformer_jax, name).__name__ == name
    assert name in dir(maskformer_jax)


def test_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'load_pretraind'"):
        maskformer_jax.load_pretraind  # noqa: B018


def test_version_is_the_same_in_all_places():
    version = maskformer_jax.__version__
    root = Path(__file__).parent.parent
    assert re.fullmatch(r"\d+\.\d+\.\d+(\.dev\d+)?", version)
    assert f'\nversion: "{version}"\n' in (root / "CITATION.cff").read_text()
    assert f"\n## [{version}] - " in (root / "CHANGELOG.md").read_text()


def test_importing_the_package_is_light_and_has_no_side_effect():
    code = (
        "import sys; before = set(sys.modules); import maskformer_jax\n"
        "maskformer_jax.Config\n"
        "heavy = {'jax', 'flax', 'numpy', 'tensorflow', 'tensorflow_datasets', 'torch', 'cv2'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    assert output_of(code) == "[]"


def test_loading_models_needs_neither_torch_nor_tensorflow_and_starts_no_device():
    # Importing either fails here, as where they are not installed: what takes them along only
    # where they are (tensorboardX) is not our need.
    code = (
        "import sys; sys.modules.update(torch=None, tensorflow=None)\n"
        "import maskformer_jax; maskformer_jax.load_pretrained\n"
        "import maskformer_jax.training.loop\n"
        "from jax._src import xla_bridge\n"
        "print(xla_bridge.backends_are_initialized())"
    )
    assert output_of(code) == "False"


def test_building_a_model_imports_neither_checkpoints_nor_the_input_pipeline():
    code = (
        "import sys, maskformer_jax as mf; mf.create_model('shapes/maskformer_R18')\n"
        "heavy = {'orbax', 'grain', 'matplotlib', 'scipy', 'PIL', 'optax'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    assert output_of(code) == "[]"


def output_of(code: str) -> str:
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=Path(__file__).parent.parent,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    ).stdout.strip()
