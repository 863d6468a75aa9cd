"""The classes of a data set: names, colours, ids."""

from dataclasses import dataclass
from typing import Literal

Color = tuple[int, int, int]  # RGB, 0..255


@dataclass(frozen=True, slots=True, kw_only=True)
class Category:
    """One class of a data set."""

    name: str
    color: Color
    is_thing: bool = False  # True for things (countable), False for stuff (amorphous)
    category_id: int = -1  # the data set's own id; the label is the index in the list


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetInfo:
    """All that code downstream may know about a data set."""

    name: str
    categories: tuple[Category, ...]  # in label order 0..K-1
    ignore_label: int | None  # the value of void pixels in label maps; None if there is none
    # What the other pixels hold; with "color", label maps are pictures in the classes' colours.
    label_maps: Literal["category_id", "label", "color"] = "category_id"
    ignore_colors: tuple[Color, ...] = ()  # of void pixels in such pictures

    @property
    def num_classes(self) -> int:
        """K, the number of classes, not counting no-object."""
        return len(self.categories)

    @property
    def stored_values(self) -> tuple[int, ...]:
        """The value of each label 0..K-1 in label maps with values, which ours always are."""
        if self.label_maps != "category_id":
            return tuple(range(self.num_classes))
        return tuple(category.category_id for category in self.categories)
