"""Messages for missing data name the config field and the page with the downloads."""

import pytest

from maskformer_jax.data.location import check_folder, check_root, read_file
from maskformer_jax.errors import UserError

PAGE = r"docs/datasets\.md"


def test_missing_root_names_the_field_and_where_it_was_looked_for(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError) as caught:
        check_root((tmp_path / "datasets/x").relative_to(tmp_path))
    message = str(caught.value)
    assert message.startswith("config.data.root is 'datasets/x', but there is no folder ")
    assert str(tmp_path / "datasets/x") in message
    assert "docs/datasets.md" in message
    check_root(tmp_path)


def test_missing_folder_names_its_siblings_and_the_layout(tmp_path):
    (tmp_path / "images/training").mkdir(parents=True)
    folder = tmp_path / "images/train"
    expected = rf"config\.data\.root is '{tmp_path}', .*{folder}; .* has training.* LAYOUT.*{PAGE}"
    with pytest.raises(UserError, match=expected):
        check_folder(folder, tmp_path, layout="LAYOUT")


def test_missing_and_unreadable_files(tmp_path):
    with pytest.raises(UserError, match=rf"config\.data\.root is .* no file .*a\.png.*{PAGE}"):
        read_file(tmp_path / "a.png", tmp_path)
    with pytest.raises(UserError, match=r"^cannot read .*: Is a directory"):
        read_file(tmp_path, tmp_path)
