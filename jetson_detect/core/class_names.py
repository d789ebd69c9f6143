"""Class names as messages give them, some by label and some by index."""

from __future__ import annotations

from collections.abc import Mapping


class ClassNames:
    """The classes seen so far, each with an index that it keeps.

    Labels may be told late, or never; and ``class_id`` may hold a label or an index, which says
    nothing until the labels are known.
    """

    def __init__(self) -> None:
        self.names: list[str] = []
        self._label_of_index: dict[str, str] = {}

    def learn_labels(self, label_of_index: Mapping[int, str]) -> None:
        """Take over what a ``LabelInfo`` says; classes known by their index get their name."""
        for index, label in sorted(label_of_index.items()):
            self._label_of_index[str(index)] = label
            if label in self.names:
                continue
            if str(index) in self.names:
                self.names[self.names.index(str(index))] = label
            else:
                self.names.append(label)

    def name(self, class_id: str) -> str:
        """Return the name of what a message calls ``class_id``; it is known from then on."""
        name = class_id
        if class_id not in self.names:
            name = self._label_of_index.get(class_id, class_id)
        if name not in self.names:
            self.names.append(name)
        return name
