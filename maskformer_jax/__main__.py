"""`python -m maskformer_jax COMMAND ...`: runs a command and prints user errors as one message."""

import importlib
import sys
from collections.abc import Sequence

from maskformer_jax.config.fields import did_you_mean
from maskformer_jax.errors import UserError

# Command: (module in maskformer_jax.commands, what it does).
COMMANDS = {
    "train": ("train", "train a model, or resume an interrupted run"),
    "finetune": ("finetune", "train on your own data: from a folder to a model and its scores"),
    "eval": ("evaluate", "score a checkpoint on a data set"),
    "report": ("report", "what a run did and how good it is, as one page without network access"),
    "queries": ("queries", "what the queries of a model specialise in, as one page"),
    "predict": ("predict", "segment images and folders of images"),
    "demo": ("demo", "a page on this machine on which images are segmented"),
    "convert": ("convert", "convert a published checkpoint to ours or back"),
    "export": ("export", "write a model as one file that runs without this package"),
    "check-data": ("check_data", "find errors in a data set before training"),
    "prepare": ("prepare", "make a data set ready for training"),
    "benchmark": ("benchmark", "measure how fast models run here, alone or beside PyTorch"),
    "plan": ("plan", "tell what a step costs on TPUs or GPUs that this machine does not have"),
    "list": ("list_models", "list the configs that come with the package"),
    "show-config": ("show_config", "print every field of a config and where its value comes from"),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        argv: The command and its arguments; those of the process by default.

    Returns:
        The exit status: 0, or 1 after an error that the user can fix, 2 for an unknown command,
        130 after Ctrl-C.

    Raises:
        SystemExit: with status 2 after a usage mistake, as argparse does.
    """
    command, *arguments = (sys.argv[1:] if argv is None else argv) or ["--help"]
    if command in ("-h", "--help", "help"):
        print(_usage())
        return 0
    if command not in COMMANDS:
        print(
            f"error: unknown command {command!r}; {did_you_mean(command, COMMANDS)}",
            file=sys.stderr,
        )
        return 2
    module, _ = COMMANDS[command]
    try:
        importlib.import_module(f"maskformer_jax.commands.{module}").run(arguments)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader of our output, such as `head`, has closed it
        sys.stderr.close()
        return 0
    return 0


def _usage() -> str:
    lines = ["usage: python -m maskformer_jax COMMAND ...", "", "commands:"]
    lines += [f"  {name:13}{summary}" for name, (_, summary) in COMMANDS.items()]
    lines += ["", "python -m maskformer_jax COMMAND --help lists a command's options."]
    return "\n".join(lines)


if __name__ == "__main__":
    raise SystemExit(main())
