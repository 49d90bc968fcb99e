"""The folder of a report: index.html, report.json, and a CSV or PNG file for each table and figure."""
import csv
import json
import os
from typing import Dict

from ... import console, files, imports
from ...errors import KwsError
from ..measurements import Measurements
from . import figures, page, report_page, tables

PAGE, NUMBERS = "index.html", "report.json"
_TABLES = "labels confusion keywords curves robustness speakers calibration training clips".split()
_FIGURES = "confusion roc det noise shift gain speakers calibration training".split()
FILES = {PAGE, NUMBERS, *(name + ".csv" for name in _TABLES), *(name + ".png" for name in _FIGURES)}


def check(folder: str) -> None:
    """Raise a KwsError if no report can be written to a folder. Call it before the measurement, which takes time."""
    for name in ("matplotlib", "jinja2"):
        imports.optional(name, page.EXTRA)
    if not folder:
        raise KwsError("--report is empty", "name a folder for the report")
    if not os.path.lexists(folder):
        _check_writable(os.path.dirname(os.path.realpath(folder)), folder)
        return
    if not os.path.isdir(folder):
        raise KwsError("%s is a file, but a report is a folder" % folder, "choose another name for --report")
    if os.path.samefile(folder, os.curdir):
        raise KwsError("a report cannot replace the current folder", "name a folder inside it: --report report")
    there = set(os.listdir(folder))
    if there and not (NUMBERS in there and there <= FILES):
        others = sorted(map(files.printable, there - FILES)) or sorted(there)
        raise KwsError(
            "%s exists and is not a report: it contains %s%s"
            % (folder, ", ".join(others[:3]), " and more" if len(others) > 3 else ""),
            "choose another folder for --report; only an empty folder or an earlier report is replaced",
        )


def _check_writable(above, folder):
    """Refuse a folder that cannot be made in the one above it, which may have to be made, too."""
    while not os.path.lexists(above):
        above = os.path.dirname(above)
    if not os.path.isdir(above) or not os.access(above, os.W_OK):
        raise KwsError(
            "--report %s cannot be made in %s, which is %s"
            % (folder, above, "a folder without write permission" if os.path.isdir(above) else "a file"),
            "choose another place",
        )


def write(measured: Measurements, folder: str) -> str:
    """Write a report. It replaces an earlier one as a whole. Returns the path of its page."""
    check(folder)
    pictures, rows = figures.all_figures(measured), tables.all_tables(measured)
    with files.replacing_folder(os.path.realpath(folder)) as part:
        _write_tables(part, rows)
        for name, png in pictures.items():
            if png:
                with open(os.path.join(part, name + ".png"), "wb") as file:
                    file.write(png)
        with _opened(part, NUMBERS) as file:
            json.dump(tables.to_json(measured, rows), file, indent=1, allow_nan=False)
        names = sorted(os.listdir(part))
        with _opened(part, PAGE) as file:
            file.write(report_page.html(measured, pictures, names))
    path = os.path.join(folder, PAGE)
    console.say("Report: %s" % path)
    return path


def _write_tables(folder: str, found: Dict[str, tables.Rows]):
    for name, rows in found.items():
        with _opened(folder, name + ".csv") as file:
            csv.writer(file, lineterminator="\n").writerows(rows)


def _opened(folder, name):
    return open(os.path.join(folder, name), "w", encoding="utf-8", newline="")
