"""What a person sees while `kws` works: messages, tables, and progress with an ETA. Messages go to stderr."""
import contextlib
import errno
import os
import sys
import time
from typing import Any, Iterator, Optional, Sequence

SECONDS_BETWEEN_LINES = 10


def say(message: str) -> None:
    """Print one line on stderr, because stdout is for results."""
    tqdm = sys.modules.get("tqdm")
    try:
        if tqdm:  # a bar may be on the terminal
            tqdm.tqdm.write(message, file=sys.stderr)
        else:
            print(message, file=sys.stderr)
        sys.stderr.flush()  # before Python 3.9, a stderr that is not a terminal is buffered
    except OSError as error:
        if error.errno != errno.EIO:  # which a terminal gives that was closed: nobody reads it, but work goes on
            raise


def show(line: str) -> None:
    """Replace what the last call has shown on stderr, on a terminal; elsewhere, show nothing."""
    if sys.stderr.isatty():
        sys.stderr.write("\r\033[K" + line)
        sys.stderr.flush()


@contextlib.contextmanager
def libraries_silenced() -> Iterator[None]:
    """Drop what libraries write to stderr, where errors are exceptions. One thread may use it at a time."""
    try:
        stderr = os.dup(2)
    except OSError:  # it is closed
        yield
        return
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, 2)
    try:
        yield
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)
        os.close(nothing)


def table(rows: Sequence[Sequence[Any]], alignment: str = "<", gap: int = 2) -> str:
    """Rows of cells -> lines with aligned columns.

    alignment: "<" or ">" for each column, as in a format string; the last one counts for all columns that follow.
    """
    cells = [["-" if cell is None else str(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells)]
    signs = alignment.ljust(len(widths), alignment[-1])
    return "\n".join(
        (" " * gap).join("{:{}{}}".format(*one) for one in zip(row, signs, widths)).rstrip() for row in cells
    )


def listed(names: Sequence[str], count: int = 5) -> str:
    """The first of many names, and how many more there are: "a, b, c and 9 more"."""
    more = " and {:,} more".format(len(names) - count) if len(names) > count else ""
    return ", ".join(names[:count]) + more


class Progress:
    """Counts the units of work that are done: a bar on a terminal, otherwise a line every ten seconds.

        with Progress("unpacking", total=len(files), unit="files") as progress:
            progress.update()

    total: None where it is not known. The unit "B" is shown in KiB, MiB, and so on.
    """

    def __init__(self, what: str, total: Optional[int] = None, unit: str = "clips", initial: int = 0) -> None:
        self._what, self._total, self._unit = what, total, unit
        self._done = self._initial = initial
        self._started = self._last_line = time.monotonic()
        self._bar = None

    def __enter__(self) -> "Progress":
        if sys.stderr.isatty():
            import tqdm  # here, because not every command needs what it imports

            in_bytes = self._unit == "B"
            self._bar = tqdm.tqdm(
                desc=self._what, total=self._total, unit="B" if in_bytes else " " + self._unit, unit_scale=in_bytes,
                unit_divisor=1024, initial=self._initial, file=sys.stderr, leave=False, dynamic_ncols=True,
            )
        return self

    def __exit__(self, *error: Any) -> None:
        if self._bar:
            self._bar.close()

    def update(self, count: int = 1, note: str = "") -> None:
        """Count more units as done, and show a note behind them."""
        self._done += count
        if self._bar:
            if note:
                self._bar.set_postfix_str(note, refresh=False)
            self._bar.update(count)
            return
        now = time.monotonic()
        if now - self._last_line >= SECONDS_BETWEEN_LINES:
            self._last_line = now
            say(self._line(now - self._started) + (", " + note if note else ""))

    def _line(self, elapsed):
        import tqdm

        shown = tqdm.tqdm.format_sizeof if self._unit == "B" else "{:,}".format
        if not self._total:
            return "%s: %s %s" % (self._what, shown(self._done), self._unit)
        left = (self._total - self._done) * elapsed / max(1, self._done - self._initial)
        return "%s: %s of %s %s (%d %%), %s left" % (
            self._what, shown(self._done), shown(self._total), self._unit,
            100 * self._done / self._total, tqdm.tqdm.format_interval(left),
        )
