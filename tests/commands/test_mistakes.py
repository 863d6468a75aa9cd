"""Mistakes on the command line end in one short message."""

import pytest
from command_line import CONFIG, FILES, run

from maskformer_jax.errors import UserError


@pytest.mark.parametrize(
    ("argv", "status", "message"),
    [
        (["trian"], 2, "unknown command 'trian'; did you mean train?"),
        (["train", "--worckdir=x"], 2, "unknown flag --worckdir; did you mean --workdir?"),
        (["train", "--wrk", "x", CONFIG], 2, "unknown flag --wrk; "),
        (["train", "--optim.learning_rate=1"], 2, "did you mean --config.optim.learning_rate?"),
        (["train", CONFIG], 2, "required: --workdir"),
        (["train", "--workdir=x"], 2, "required: --config"),
        (["train", CONFIG, "--config.train.seed"], 2, "--config.train.seed needs a value"),
        (["train", CONFIG, "--config.train.seed", "--workdir=x"], 2, "needs a value"),
        (["train", CONFIG, "--workdir=x", "y"], 2, "unrecognized arguments: y"),
        (["list", "--config.train.seed=1"], 2, "unknown flag --config.train.seed"),
        (["show-config"], 2, "required: CONFIG"),
        (["show-config", "camvid/maskformer_R5"], 1, "did you mean camvid/maskformer_R50?"),
        (["train", "--help-config", "--config=camvid/x"], 1, "there is no config 'camvid/x'"),
        (
            ["train", CONFIG, "--workdir=x", "--config.data.root=no/such", FILES[1]],
            1,
            "config.data.root is 'no/such', but there is no such folder; docs/datasets.md says",
        ),
        (
            ["eval", CONFIG, "--checkpoint=x", "--config.data.root=no/such"],
            1,
            "config.data.root is 'no/such', but there is no such folder; docs/datasets.md says",
        ),
        (
            ["train", CONFIG, "--workdir=x", FILES[0], "--config.train.init_backbone=a.pkl"],
            1,
            "config.train.init_backbone is 'a.pkl', but there is no such file; "
            "docs/checkpoints.md says where it comes from",
        ),
        (
            ["convert", CONFIG, "--checkpoint=x", "--output=x.pkl", "--format=workdir"],
            2,
            "--format",
        ),
        (["convert", CONFIG, "--checkpoint=x", "--output=x", "--naming=current"], 2, "--naming is"),
        (["prepare", "shape", "--root=x"], 2, "invalid choice: 'shape'"),
        (["train", "--config=camvid/x", "--workdir=x"], 1, "there is no config 'camvid/x'"),
        (
            ["train", CONFIG, "--workdir=x", "--config.optim.lerning_rate=1"],
            1,
            "no field config.optim.lerning_rate; did you mean config.optim.learning_rate?",
        ),
        (
            ["train", CONFIG, "--workdir=x", "--config.train.num_steps=many"],
            1,
            "config.train.num_steps is 'many', but must be int",
        ),
        (["train", CONFIG, "--workdir=x", "--config.train.num_steps=0"], 1, "must be above 0"),
    ],
)
def test_mistakes_are_short_messages(argv, status, message, capsys, calls):
    calls.replace("maskformer_jax.training.loop", train=None)
    calls.replace("maskformer_jax.scoring", evaluate_checkpoint={})
    assert run(*argv) == status
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert message in error
    assert len(error.splitlines()) <= 2
    assert not calls.made


def test_user_errors_become_a_message_and_other_errors_do_not(calls, capsys):
    calls.replace("maskformer_jax.training.loop", train=UserError("disk full"))
    assert run("train", CONFIG, "--workdir=x", *FILES) == 1
    assert capsys.readouterr().err == "error: disk full\n"
    calls.replace("maskformer_jax.training.loop", train=ZeroDivisionError())
    with pytest.raises(ZeroDivisionError):
        run("train", CONFIG, "--workdir=x", *FILES)
