"""What TensorBoard shows of a training. Protocol buffers made on the host: nothing of it is in the graph."""
import io
import os

import tensorflow.compat.v1 as tf

from ..console import say


class Summaries:
    """An event file in `folder`; of what is there already, TensorBoard drops what came after `step`."""

    def __init__(self, folder, step):
        os.makedirs(folder, exist_ok=True)  # an OSError is told better than what TensorFlow makes of it
        self._writer = tf.summary.FileWriter(folder)
        self._writer.add_session_log(tf.SessionLog(status=tf.SessionLog.START), step + 1)  # the first it drops
        self._can_draw = True

    def scalars(self, step, values):
        """{name: number} at a step."""
        self._add(step, [tf.Summary.Value(tag=name, simple_value=value) for name, value in values.items()])

    def confusion(self, step, result):
        """The confusion matrix of an evaluation as an image."""
        if self._can_draw:
            try:
                png = confusion_png(result)
            except ImportError:
                self._can_draw = False
                say('No confusion matrices in TensorBoard without matplotlib: pip install "kwscli[plots]".')
                return
            image = tf.Summary.Image(encoded_image_string=png, height=600, width=600)
            self._add(step, [tf.Summary.Value(tag="confusion", image=image)])

    def _add(self, step, values):
        self._writer.add_summary(tf.Summary(value=values), step)

    def flush(self):
        self._writer.flush()

    def close(self):
        self._writer.close()


def confusion_png(result):
    """A picture of 600 x 600 pixels of an evaluation's confusion matrix."""
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
    axes.set_xlabel("heard")
    axes.set_ylabel("said")
    for row in ticks:
        for column in ticks:
            if result.confusion[row, column]:
                colour = "white" if share[row, column] > 0.5 else "black"
                count = result.confusion[row, column]
                axes.text(column, row, count, ha="center", va="center", color=colour, fontsize=7)
    png = io.BytesIO()
    figure.savefig(png, format="png")
    return png.getvalue()
