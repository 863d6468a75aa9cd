import pytest
from command_line import Calls


@pytest.fixture
def calls(monkeypatch) -> Calls:
    return Calls(monkeypatch)
