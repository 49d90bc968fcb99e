"""The guides: a Markdown page for each kind of reader. `kws guide NAME` prints one.

To add one, write `kwscli/guides/NAME.md`, put NAME below and a link into README.md.
"""
import os
from typing import List, Tuple

NAMES = (
    "words", "data", "training", "evaluation", "listening", "commands", "formats", "boards", "speed", "workers",
    "ascend", "develop",
)


def read(name: str) -> str:
    """The text of a guide."""
    with open(os.path.join(os.path.dirname(__file__), name + ".md"), encoding="utf-8") as file:
        return file.read()


def titles() -> List[Tuple[str, str]]:
    """(name, title) of each guide. Its first line is "# Title"."""
    return [(name, read(name).splitlines()[0].lstrip("# ")) for name in NAMES]
