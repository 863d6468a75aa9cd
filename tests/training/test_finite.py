"""Numbers that are not finite end a run with the names of the images behind them."""

import numpy as np
import pytest

from maskformer_jax.errors import UserError
from maskformer_jax.training.finite import require_finite


def ids(step: int) -> list[str]:
    return [f"{step}-{row}" for row in range(3)]


def test_finite_numbers_pass_without_a_look_at_the_images() -> None:
    def unwanted(step: int) -> list[str]:
        raise AssertionError(step)

    metrics = {"loss": 1.0, "grad_norm": 2.0, "finite_images": np.ones(3, bool)}
    require_finite(7, metrics, image_ids=unwanted)


@pytest.mark.parametrize("name", ["loss", "grad_norm"])
def test_all_images_of_the_step_are_named(name: str) -> None:
    metrics = {"loss": 1.0, "grad_norm": 2.0, name: np.float32("nan")}
    with pytest.raises(UserError, match=rf"step 7: {name} is nan; .* '7-0', '7-1', '7-2'\."):
        require_finite(7, metrics, image_ids=ids)


@pytest.mark.parametrize("loss", [np.inf, 1.0])
def test_only_the_images_at_fault_are_named(loss: float) -> None:
    finite = np.array([True, False, True])
    with pytest.raises(UserError, match=r"loss or matching cost of '7-1' is not finite"):
        require_finite(7, {"loss": loss, "finite_images": finite}, image_ids=ids)


def test_an_update_left_out_is_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    metrics = {"loss": np.nan, "update_skipped": 1.0}
    require_finite(7, metrics, image_ids=ids)
    assert "step 7: loss is nan" in caplog.text
    assert "'7-1'" in caplog.text
