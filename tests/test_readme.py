"""What the README computes is computed right."""
import os
import re

from kwscli import list_models, models

README = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "README.md")


def test_the_arithmetic_of_several_workers():
    with open(README, encoding="utf-8") as file:
        rows = re.findall(
            r"^\| (\d+) [^|]* \| (\w+) (\w) \| ([\d,]+) \| ([\d.]+) ms \| ([\d.]+) GB/s \| ([\d.]+) ms \| ([\d.]+) ms "
            r"\| (\d+) % \|$",
            file.read(), re.MULTILINE,
        )
    assert len(rows) == 5
    for count, architecture, size, *figures in rows:
        count, weights, latency, bandwidth, step, told, kept = (
            float(one.replace(",", "")) for one in [count, *figures]
        )
        reduce = 2 * (count - 1) * latency + 2 * (count - 1) / count * 4 * weights / (1e6 * bandwidth)
        assert "%.2f" % reduce == "%.2f" % told and "%.0f" % (100 * step / (step + reduce)) == "%.0f" % kept, figures
        assert weights == list_models.row(architecture, size, models.published(architecture, size))["parameters"]
