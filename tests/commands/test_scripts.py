"""train.py and eval.py in processes of their own, without the type checks that pytest adds."""

import subprocess
import sys

from command_line import CONFIG, REPOSITORY


def run_script(*argv: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *argv], cwd=REPOSITORY, capture_output=True, text=True, timeout=60
    )


def test_train_script_on_a_config_with_a_typo(tmp_path):
    file = tmp_path / "mine.py"
    file.write_text(
        "from maskformer_jax.config import Config, OptimConfig\n\n"
        "def get_config():\n    return Config(optim=OptimConfig(lerning_rate=1e-4))\n"
    )
    result = run_script("train.py", f"--config={file}", f"--workdir={tmp_path / 'run'}")
    assert result.returncode == 1
    assert result.stderr == (
        f"error: {file}, line 4: OptimConfig has no field 'lerning_rate'; "
        "did you mean learning_rate?\n"
    )
    assert not (tmp_path / "run").exists()


def test_eval_script_on_a_missing_argument():
    result = run_script("eval.py", CONFIG)
    assert result.returncode == 2
    assert "required: --checkpoint" in result.stderr
    assert "Traceback" not in result.stderr


def test_scripts_do_nothing_when_imported_by_loader_workers():
    code = "import sys, train, eval; assert 'jax' not in sys.modules"
    result = run_script("-c", code)
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")
