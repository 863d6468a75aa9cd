"""The classes of a data set: names, colours, ids."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class Category:
    """One class of a data set."""

    name: str
    color: tuple[int, int, int]  # RGB, 0..255
    is_thing: bool = False  # True for things (countable), False for stuff (amorphous)
    category_id: int = -1  # the data set's own id; the label is the index in the list


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetInfo:
    """All that code downstream may know about a data set."""

    name: str
    categories: tuple[Category, ...]  # in label order 0..K-1
    ignore_label: int | None  # the value of void pixels in label maps; None if there is none
    label_maps: Literal["category_id", "label"] = "category_id"  # what the other pixels hold

    @property
    def num_classes(self) -> int:
        """K, the number of classes, not counting no-object."""
        return len(self.categories)

    @property
    def stored_values(self) -> tuple[int, ...]:
        """The value in label maps of each label 0..K-1."""
        if self.label_maps == "label":
            return tuple(range(self.num_classes))
        return tuple(category.category_id for category in self.categories)
