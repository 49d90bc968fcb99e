"""Progress of long work: a bar with an ETA on a terminal, a plain line now and then in a log. Always on stderr."""
import sys
import time

import tqdm

SECONDS_BETWEEN_LINES = 10


def say(message):
    """One line for the person, on stderr: stdout is for results."""
    tqdm.tqdm.write(message, file=sys.stderr)
    sys.stderr.flush()  # before Python 3.9, what goes to a file would wait there for more


class Progress:
    """Counts units of work done; a context manager.

        with Progress("unpacking", total=len(files), unit="files") as progress:
            progress.update()

    total: None where it is not known; unit "B" is shown in KiB, MiB, ...
    """

    def __init__(self, what, total=None, unit="clips", initial=0):
        self._what, self._total, self._unit = what, total, unit
        self._done = self._initial = initial
        self._started = self._last_line = time.monotonic()
        self._bar = None
        if sys.stderr.isatty():
            self._bar = tqdm.tqdm(
                desc=what, total=total, unit=unit if unit == "B" else " " + unit, unit_scale=unit == "B",
                unit_divisor=1024, initial=initial, file=sys.stderr, leave=False, dynamic_ncols=True,
            )

    def __enter__(self):
        return self

    def __exit__(self, *error):
        if self._bar:
            self._bar.close()

    def update(self, count=1, note=""):
        """`count` more units are done; `note` is shown behind them."""
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
        shown = tqdm.tqdm.format_sizeof if self._unit == "B" else "{:,}".format
        if not self._total:
            return "%s: %s %s" % (self._what, shown(self._done), self._unit)
        left = (self._total - self._done) * elapsed / max(1, self._done - self._initial)
        return "%s: %s of %s %s (%d %%), %s left" % (
            self._what, shown(self._done), shown(self._total), self._unit,
            100 * self._done / self._total, tqdm.tqdm.format_interval(left),
        )
