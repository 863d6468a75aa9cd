"""Progress lines with an injected clock and stream, and the bar on a pretended terminal."""

import io

import pytest

from maskformer_jax.progress import Progress


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Scalar:
    """Counts how often it is turned into a number, as a device array would be fetched."""

    def __init__(self) -> None:
        self.fetched = 0

    def __float__(self) -> float:
        self.fetched += 1
        return 3.21


def test_line_with_rate_and_remaining_time() -> None:
    clock, stream = Clock(), io.StringIO()
    progress = Progress(4000, description="train", stream=stream, clock=clock)
    for _ in range(100):
        clock.now += 0.1
        progress.update(loss=3.2149, images=123456, mode="a")
    # 10 it/s leaves 3900 steps for 390 s.
    assert stream.getvalue() == (
        "train: step 100/4000  10 it/s  remaining 0:06:30  loss 3.215  images 123456  mode a\n"
    )


def test_lines_keep_their_distance() -> None:
    clock, stream = Clock(), io.StringIO()
    progress = Progress(1000, description="x", min_interval_s=5.0, stream=stream, clock=clock)
    for _ in range(31):
        clock.now += 0.5
        progress.update()
    counts = [line.split()[2] for line in stream.getvalue().splitlines()]
    assert counts == ["10/1000", "20/1000", "30/1000"]


def test_rate_counts_only_this_process() -> None:
    clock, stream = Clock(), io.StringIO()
    progress = Progress(1000, initial=900, description="x", stream=stream, clock=clock)
    clock.now += 10
    progress.update(20)
    assert "step 920/1000  2 it/s  remaining 0:00:40" in stream.getvalue()


def test_slow_start_drops_out_of_the_rate() -> None:
    clock, stream = Clock(), io.StringIO()
    progress = Progress(10_000, description="x", stream=stream, clock=clock)
    clock.now += 300  # the first step compiles
    progress.update()
    for _ in range(15):
        clock.now += 10
        progress.update(50)
    progress.update(10_000 - progress.done)
    first, *_, before_last, last = stream.getvalue().splitlines()
    assert "0.0033 it/s" in first
    assert "  5 it/s" in before_last
    # What the whole took, compilation included: 10000 steps in 450 s.
    assert "  22 it/s  took 0:07:30" in last


@pytest.mark.parametrize(
    ("rate", "text"), [(0.25, "0.25"), (3.14, "3.1"), (99.6, "100"), (2e4, "20000")]
)
def test_rates_are_plain_numbers(rate: float, text: str) -> None:
    clock, stream = Clock(), io.StringIO()
    progress = Progress(10**9, description="x", stream=stream, clock=clock)
    clock.now += 100
    progress.update(round(rate * 100))
    assert f"  {text} it/s  " in stream.getvalue()


def test_last_line_once() -> None:
    clock, stream = Clock(), io.StringIO()
    with Progress(2, description="predict", unit="image", stream=stream, clock=clock) as progress:
        clock.now += 30
        progress.update()
        clock.now += 30
        progress.update()
    progress.close()
    lines = stream.getvalue().splitlines()
    assert len(lines) == 2
    assert lines[1] == "predict: image 2/2  0.033 it/s  took 0:01:00"


def test_last_line_comes_with_the_last_step() -> None:
    clock, stream = Clock(), io.StringIO()
    progress = Progress(3, description="train", stream=stream, clock=clock)
    clock.now += 1
    progress.update(3)
    assert stream.getvalue() == "train: step 3/3  3 it/s  took 0:00:01\n"
    clock.now += 500  # a last evaluation
    progress.close()
    assert stream.getvalue().count("\n") == 1


@pytest.mark.parametrize("total", [None, 0])
def test_unknown_total(total: int | None) -> None:
    clock, stream = Clock(), io.StringIO()
    with Progress(total, description="eval", stream=stream, clock=clock) as progress:
        for _ in range(2):
            clock.now += 10
            progress.update(30)
        clock.now += 1
        progress.update()
    assert stream.getvalue().splitlines() == [
        "eval: step 30  3 it/s",
        "eval: step 60  3 it/s",
        "eval: step 61  2.9 it/s  took 0:00:21",
    ]
    with Progress(total, description="eval", stream=Terminal(), clock=clock) as progress:
        progress.update(2)


def test_stopped_early_shows_where() -> None:
    clock, stream = Clock(), io.StringIO()

    def work() -> None:
        with Progress(5, description="x", stream=stream, clock=clock) as progress:
            clock.now += 1
            progress.update(2)
            raise KeyError

    with pytest.raises(KeyError):
        work()
    assert stream.getvalue() == "x: step 2/5  2 it/s  took 0:00:01\n"


def test_values_are_fetched_only_when_shown() -> None:
    for stream in (io.StringIO(), Terminal()):
        clock, value = Clock(), Scalar()
        progress = Progress(100, description="x", stream=stream, clock=clock)
        for _ in range(50):
            clock.now += 0.001
            progress.update(loss=value)
        assert value.fetched == 0
        clock.now += 60
        progress.update(loss=value)
        assert value.fetched == 1


def test_bar_on_a_terminal() -> None:
    clock, stream = Clock(), Terminal()
    with Progress(10, initial=4, description="eval", stream=stream, clock=clock) as progress:
        clock.now += 1
        progress.update(6, mIoU=12.5)
    shown = stream.getvalue()
    assert "\r" in shown
    assert "eval: 100%" in shown
    assert "10/10" in shown
    assert "mIoU=12.5" in shown


def test_disabled_shows_nothing() -> None:
    for stream in (io.StringIO(), Terminal()):
        clock = Clock()
        with Progress(2, description="x", enabled=False, stream=stream, clock=clock) as progress:
            clock.now += 60
            progress.update(2)
        assert stream.getvalue() == ""
        assert progress.done == 2


def test_what_came_before_a_restart_is_not_in_the_rate() -> None:
    clock, stream = Clock(), io.StringIO()
    progress = Progress(11, description="train", min_interval_s=0.0, stream=stream, clock=clock)
    clock.now += 100  # compiling
    progress.restart_rate()
    for _ in range(11):
        clock.now += 1
        progress.update()
    lines = stream.getvalue().splitlines()
    assert lines[0] == "train: step 1/11  1 it/s  remaining 0:00:10"
    assert lines[-1] == "train: step 11/11  1 it/s  took 0:01:51"


def test_a_bar_restarts_too() -> None:
    stream = Terminal()
    with Progress(3, description="train", stream=stream) as progress:
        progress.restart_rate()
        progress.update(3)
    assert "3/3" in stream.getvalue()
