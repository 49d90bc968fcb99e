"""`kws bench`: every row of its table is there; the figures are the machine's."""
import os
import re

import pytest
from test_train import data  # noqa: F401  (a fixture)

pytest.importorskip("tensorflow.compat.v1")
FIGURE = r"\d+(\.\d+)?"
TABLE = [
    ("machine", r".*, \d+ cores, Python .*, TensorFlow .*"),
    ("MFCC, one core", FIGURE + " clips/s .*"),
    (r"MFCC, \d+ cores", FIGURE + " clips/s"),
    ("augmented batch of 100 with its features, one core", FIGURE + " ms"),
    ("training step alone, constant batch", FIGURE + " ms, %s ms of processor time" % FIGURE),
    ("training step with everything .*", FIGURE + " ms"),
    ("  speed of the step alone that is left", FIGURE + " % .*"),
    ("  time spent waiting for data", FIGURE + " %"),
    ("baseline: one session call a clip for its features", FIGURE + " ms a step, %s times ours" % FIGURE),
    ("evaluation, features and inference", FIGURE + " clips/s"),
    ("one worker on one core", FIGURE + " examples/s"),
    ("two workers with a core each", FIGURE + " examples/s, %s times as many" % FIGURE),
    ("kws prepare against gzip -dc of the same archive", FIGURE + " s, %s s: %s %% of its speed" % (FIGURE, FIGURE)),
]


def test_every_part_is_measured(kws, data):  # noqa: F811
    if len(os.sched_getaffinity(0)) < 2:
        pytest.skip("workers with a core each need two cores")
    result = kws("bench", "--data-path", data, "--model-architecture", "dnn", "--steps", "100", "--rounds", "1")
    assert result.exit_code == 0, result.stderr
    rows = [re.split(r"(?<=\S) {2,}", line) for line in result.stdout.splitlines()]
    assert len(rows) == len(TABLE), result.stdout
    for (name, figure), (wanted, form) in zip(rows, TABLE):
        assert re.fullmatch(wanted, name) and re.fullmatch(form, figure), (name, figure)
