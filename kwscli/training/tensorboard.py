"""Events of a training for TensorBoard. The host makes them, so that nothing of them is in the graph."""
import io
import os
import socket
import time
from typing import Dict, Optional

import tensorflow.compat.v1 as tf

from ..console import say
from ..metrics import Result


class Summaries:
    """An event file in a folder. Of earlier events there, TensorBoard drops those after `step`.

    TensorFlow's own FileWriter loses events without an error when the disk is full. If these events cannot be written,
    one line says so, and the training continues without them.
    """

    def __init__(self, folder: str, step: int) -> None:
        self._folder, self._step = folder, step
        self._records: Optional[tf.io.TFRecordWriter] = None  # None before `open`, and after an error
        self._can_draw = True

    def open(self) -> None:
        """Make the file. An OSError means that nothing can be written there."""
        os.makedirs(self._folder, exist_ok=True)
        path = os.path.join(self._folder, event_file_name())
        with open(path, "wb"):  # Python reports better than TensorFlow what is wrong with a path
            pass
        self._records = tf.io.TFRecordWriter(path)
        self._write(tf.Event(file_version="brain.Event:2"))
        first_to_drop = self._step + 1
        self._write(tf.Event(session_log=tf.SessionLog(status=tf.SessionLog.START), step=first_to_drop))

    def scalars(self, step: int, values: Dict[str, float]) -> None:
        """{name: number} at a step."""
        self._add(step, [tf.Summary.Value(tag=name, simple_value=value) for name, value in values.items()])

    def confusion(self, step: int, result: Result) -> None:
        """The confusion matrix of an evaluation as an image."""
        if self._can_draw:
            try:
                png = confusion_png(result)
            except ImportError:
                self._can_draw = False
                say('TensorBoard shows no confusion matrix without matplotlib; pip install "kwscli[plots]".')
                return
            image = tf.Summary.Image(encoded_image_string=png, height=600, width=600)
            self._add(step, [tf.Summary.Value(tag="confusion", image=image)])

    def _add(self, step, values):
        self._write(tf.Event(summary=tf.Summary(value=values), step=step))

    def _write(self, event):
        event.wall_time = time.time()
        self._attempt(lambda records: records.write(event.SerializeToString()))

    def flush(self) -> None:
        """Write what is still in memory."""
        self._attempt(lambda records: records.flush())

    def close(self) -> None:
        """Flush and close the file."""
        self._attempt(lambda records: records.close())
        self._records = None

    def _attempt(self, act):
        """Call act(records). After an error there are no more attempts, because half an event may be in the file."""
        if not self._records:
            return
        try:
            act(self._records)
        except tf.errors.OpError as error:
            self._records = None
            say("Cannot write TensorBoard's events: %s. The training continues without them." % error.message)


def event_file_name() -> str:
    """A name that TensorBoard knows as an event file, and that no other file has."""
    nanoseconds = time.time_ns()
    return "events.out.tfevents.%010d.%s.%d.%09d" % (
        nanoseconds // 10 ** 9, socket.gethostname(), os.getpid(), nanoseconds % 10 ** 9
    )


def confusion_png(result: Result) -> bytes:
    """A PNG of 600 x 600 pixels that shows the confusion matrix of an evaluation."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 6), dpi=100)
    FigureCanvasAgg(figure)
    axes = figure.add_axes([0.18, 0.16, 0.8, 0.8])
    share = result.confusion / result.confusion.sum(axis=1, keepdims=True).clip(min=1)
    axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
    ticks = range(len(result.labels))
    axes.set_xticks(ticks)
    axes.set_yticks(ticks)
    axes.set_xticklabels(result.labels, rotation=90)
    axes.set_yticklabels(result.labels)
    axes.set_xlabel("predicted label")
    axes.set_ylabel("true label")
    for row in ticks:
        for column in ticks:
            if result.confusion[row, column]:
                colour = "white" if share[row, column] > 0.5 else "black"
                count = result.confusion[row, column]
                axes.text(column, row, count, ha="center", va="center", color=colour, fontsize=7)
    png = io.BytesIO()
    figure.savefig(png, format="png")
    return png.getvalue()
