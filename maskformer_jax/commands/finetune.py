"""`finetune`: from somebody's data to a trained model."""

from collections.abc import Sequence
from pathlib import Path

from maskformer_jax.atomic_write import require_writable
from maskformer_jax.commands.parser import CommandParser, override_config, user_path
from maskformer_jax.compile_cache import keep_programs
from maskformer_jax.config import Config
from maskformer_jax.config.io import load_config
from maskformer_jax.errors import UserError

RESULTS = "results"


def run(argv: Sequence[str]) -> None:
    """Parse the arguments; look at the data, write a recipe, train, evaluate.

    Raises:
        UserError: the data is of no known layout or has problems, or the checkpoint or a field of
            the config is wrong.
    """
    parser = CommandParser(
        "finetune",
        "Train on your own data: looks at it, writes a recipe into the workdir, checks the data, "
        "trains, evaluates, and leaves pictures. Started again with the same workdir, it goes on "
        "with the recipe that is there.",
        config="optional",
    )
    parser.add_argument(
        "data",
        type=user_path,
        metavar="DATA",
        help="a folder of images and label maps, or with COCO's instance or panoptic JSON files as "
        "labelling tools export them; or one such JSON file",
    )
    parser.add_argument(
        "--workdir",
        type=user_path,
        required=True,
        metavar="DIR",
        help="where the recipe, the model, its scores and pictures are written",
    )
    parser.add_argument(
        "--checkpoint",
        type=user_path,
        metavar="PATH",
        help="the model to start from, of any kind that eval takes; published files need --config",
    )
    parser.add_argument(
        "--steps", type=int, metavar="N", help="updates; default: 40 epochs, within bounds"
    )
    parser.add_argument(
        "--recipe-only", action="store_true", help="check the data and write the recipe, no more"
    )
    arguments, overrides = parser.read(argv)
    if arguments.steps is not None and arguments.steps < 1:
        parser.error("--steps must be at least 1")
    workdir: Path = arguments.workdir
    require_writable(workdir)

    from maskformer_jax.finetuning.prepare import RECIPE

    recipe = workdir / RECIPE
    if recipe.is_file():
        print(f"going on with {recipe}", flush=True)
    else:
        base = load_config(arguments.config) if arguments.config else None
        _prepare(arguments.data, workdir, base, arguments.checkpoint, arguments.steps)
    config = override_config(load_config(recipe), overrides)
    if not (config.train.init_checkpoint or config.train.init_backbone):
        print(
            "warning: without --checkpoint all weights start from random numbers, which takes long "
            "and many images; weights for the backbone help: "
            "--config.train.init_backbone=FILE (docs/checkpoints.md)",
            flush=True,
        )
    if not arguments.recipe_only:
        _train(config, workdir)


def _prepare(
    data: Path, workdir: Path, base: Config | None, checkpoint: Path | None, steps: int | None
) -> None:
    from maskformer_jax.finetuning.prepare import prepare_recipe

    prepared = prepare_recipe(data, workdir, base=base, checkpoint=checkpoint, num_steps=steps)
    print("\n".join([f"{data}:", *(f"  {guess}" for guess in prepared.found.guesses)]), flush=True)
    print(prepared.report.text(), flush=True)
    if prepared.recipe is None:
        raise UserError(f"{data}: the data has problems; they are listed above")
    print(f"\nwrote {prepared.recipe}", flush=True)


def _train(config: Config, workdir: Path) -> None:
    from maskformer_jax.inspection.report.write import write_report
    from maskformer_jax.scoring import evaluate_checkpoint
    from maskformer_jax.training.loop import train

    keep_programs(config.compile_cache)
    train(config, workdir)
    write_report(workdir)
    results = workdir / RESULTS
    evaluate_checkpoint(config, workdir, output=results, save_predictions=("pictures",))
    write_report(results)
    print(
        f"\nThe model is in {workdir}, its scores and pictures in {results}. "
        "To segment your own images:\n"
        f"  python -m maskformer_jax predict --checkpoint={workdir} --output=OUT IMAGES",
        flush=True,
    )
