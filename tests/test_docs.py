"""README, guides and the command line agree: every command in them parses, and every command and flag is described."""
import os
import re
import shlex
import subprocess
import sys

import click
import pytest
from click.testing import CliRunner

from kwscli import cli, guides, list_models, models, script_flags
from kwscli.training import job as jobs

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
COMMANDS = cli.cli.commands


def page(name):
    with open(os.path.join(ROOT, name), encoding="utf-8") as file:
        return file.read()


PAGES = dict({name: guides.read(name) for name in guides.NAMES}, README=page("README.md"))


def flags_of(command):
    """All spellings of the long flags of a command, with dashes."""
    options = [param for param in COMMANDS[command].params if isinstance(param, click.Option)]
    shown = [option for option in options if not option.hidden]
    return {flag for option in shown for flag in option.opts if flag.startswith("--")} - {"--help"}


def blocks(text):
    """The code blocks of a page, as lists of lines; a line that ends with a backslash is joined with the next."""
    return [block.replace("\\\n", " ").splitlines() for block in re.findall(r"^```\n(.*?)^```$", text, re.M | re.S)]


def commands_in(text):
    """(arguments of a kws command, the lines of output below it) for each command in the code blocks of a page."""
    for block in blocks(text):
        with_output = any(line.startswith("$ ") for line in block)
        for number, line in enumerate(block):
            found = re.match(r"(\$ )? *(?:[A-Z_]+=\S+ )*kws (.*)", line)
            if found and bool(found.group(1)) == with_output:
                args = shlex.split(found.group(2), comments=True)
                ends = [index for index, arg in enumerate(args) if arg in ("&", "|", "<", ">")]
                yield args[: (ends + [len(args)])[0]], block[number + 1 :] if with_output else []


LINES = [(name, args, output) for name, text in PAGES.items() for args, output in commands_in(text)]


def test_commands_are_found():
    assert len(LINES) > 40
    assert {args[0] for _, args, _ in LINES} >= set(COMMANDS)


@pytest.mark.parametrize("name, args", [(name, args) for name, args, _ in LINES])
def test_every_command_line_is_one_that_kws_takes(name, args, monkeypatch):
    for variable in ("RANK_TABLE_FILE", "RANK_ID", "RANK_SIZE", "TF_CONFIG", "ASCEND_DEVICE_ID", "KWS_DATA_PATH"):
        monkeypatch.delenv(variable, raising=False)
    assert args[0] in COMMANDS, "there is no command kws %s" % args[0]
    parent = click.Context(cli.cli, info_name="kws", **cli.cli.context_settings)
    context = COMMANDS[args[0]].make_context(args[0], list(args[1:]), parent)
    if args[0] == "train" and not (context.params["start_checkpoint"] or context.params["teacher"]):
        jobs.plan(context.params)  # settings that contradict one another are an error


@pytest.mark.parametrize(
    "args, output", [(args, output) for _, args, output in LINES if args[0] in ("models", "guide") and output]
)
def test_what_is_shown_below_a_command_is_its_output(args, output):
    result = CliRunner().invoke(cli.cli, args)
    assert result.exit_code == 0
    for line in output:
        pattern = r".*".join(r"\s+".join(map(re.escape, part.split())) for part in line.split("..."))
        assert re.search(pattern.replace(".*", r"\s+.*?\s*"), result.output), line


@pytest.mark.parametrize("args", [["--help"], ["guide"], ["models"]] + [[name, "--help"] for name in COMMANDS])
def test_what_is_cheap_runs(args):
    assert CliRunner().invoke(cli.cli, args).exit_code == 0


def sections(text):
    """{command: {flag: its description}} of the guide that lists them all."""
    found = {}
    for section in re.split(r"^## kws ", text, flags=re.M)[1:]:
        command, _, body = section.partition("\n")
        items = re.findall(r"^- (`--.*?)(?=^\n|^- |\Z)", body.split("\n## ")[0], re.M | re.S)
        found[command] = {}
        for item in items:
            flags, _, description = item.partition(":")
            for flag in re.findall(r"`(--[a-z-]+)", flags):
                found[command][flag] = " ".join(description.split())
    return found


REFERENCE = sections(PAGES["commands"])


def test_the_reference_has_every_command():
    assert set(REFERENCE) == set(COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_the_reference_has_every_flag_and_no_other(command):
    assert set(REFERENCE[command]) == flags_of(command)


def default_of(option):
    """The default of an option as text, if it is a plain value; a switch that is off has none to tell."""
    shown = re.search(r"\[default: ([\w.,-]+)\]", getattr(option, "help", None) or "")
    default = shown.group(1) if shown else str(option.default) if getattr(option, "show_default", None) else "False"
    return None if default == "False" else re.sub(r"\.0$", "", default)


@pytest.mark.parametrize("command", COMMANDS)
def test_the_reference_has_the_defaults(command):
    for option in COMMANDS[command].params:
        default, described = default_of(option), REFERENCE[command].get(option.opts[0], "")
        if default and "as in `kws train`" not in described:
            assert "Default: %s." % default in described.replace("`", ""), option.opts[0]


@pytest.mark.parametrize("name", PAGES)
def test_every_flag_and_command_that_is_named_exists(name):
    spans = re.findall(r"`([^`]+)`", re.sub(r"^```.*?^```$", "", PAGES[name], flags=re.M | re.S))
    known = {flag for table in (script_flags.RENAMED, script_flags.FIXED) for flags in table.values() for flag in flags}
    known |= {flag for command in COMMANDS for flag in flags_of(command)}
    for span in spans:
        span = " ".join(span.split())
        if span.startswith("--"):
            assert re.match(r"--[\w-]+", span).group().replace("_", "-") in known | {"--help", "--version"}, span
        if span.startswith("kws ") and not span.startswith(("kws COMMAND", "kws --")):
            assert span.split()[1] in COMMANDS, span


@pytest.mark.parametrize("name", PAGES)
def test_every_file_of_this_repository_that_is_named_exists(name):
    named = set(re.findall(r"\b(?:kwscli|tests)/[\w/.]*\w", PAGES[name]))
    assert not [path for path in named if "NAME" not in path and not os.path.exists(os.path.join(ROOT, path))]


def test_the_readme_is_short_and_links_every_guide():
    assert len(PAGES["README"].splitlines()) <= 150
    assert set(re.findall(r"\(kwscli/guides/(\w+)\.md\)", PAGES["README"])) == set(guides.NAMES)


def test_every_guide_has_a_file_and_every_file_is_a_guide():
    names = os.listdir(os.path.dirname(guides.__file__))
    assert {name[:-3] for name in names if name.endswith(".md")} == set(guides.NAMES)


@pytest.mark.parametrize("name", guides.NAMES)
def test_guide_prints_a_guide_that_fits_a_terminal(name):
    result = CliRunner().invoke(cli.cli, ["guide", name])
    assert result.exit_code == 0 and result.output.rstrip() == guides.read(name).rstrip()
    assert guides.read(name).isascii()  # any terminal can show it
    prose = re.sub(r"^```.*?^```$", "", guides.read(name), flags=re.M | re.S)
    assert max(map(len, prose.splitlines())) <= 80


def test_guide_lists_the_guides(kws):
    lines = kws("guide").stdout.splitlines()
    assert [line.split()[0] for line in lines] == list(guides.NAMES)
    assert max(map(len, lines)) <= 80
    assert kws("guide", "nonsense").exit_code == 2


def test_an_installed_kws_has_the_guides():
    pytest.importorskip("setuptools")
    code = (
        "from setuptools.dist import Distribution\n"
        "dist = Distribution(); dist.parse_config_files()\n"
        "build = dist.get_command_obj('build_py'); build.ensure_finalized()\n"
        "print(*[name for found in build.data_files for name in found[3]])"
    )
    shown = subprocess.run([sys.executable, "-W", "ignore", "-c", code], cwd=ROOT, stdout=subprocess.PIPE, check=True)
    assert {name + ".md" for name in guides.NAMES} <= set(shown.stdout.decode().split())


def test_the_arithmetic_of_several_workers():
    rows = re.findall(
        r"^\| (\d+) [^|]* \| (\w+) (\w) \| +([\d,]+) \| +([\d.]+) \| +([\d.]+) \| +([\d.]+) \| +([\d.]+) \| +(\d+) \|$",
        PAGES["workers"], re.MULTILINE,
    )
    assert len(rows) == 5
    for count, architecture, size, *figures in rows:
        count, weights, latency, bandwidth, step, told, kept = (
            float(one.replace(",", "")) for one in [count, *figures]
        )
        reduce = 2 * (count - 1) * latency + 2 * (count - 1) / count * 4 * weights / (1e6 * bandwidth)
        assert "%.2f" % reduce == "%.2f" % told and "%.0f" % (100 * step / (step + reduce)) == "%.0f" % kept, figures
        assert weights == list_models.row(architecture, size, models.published(architecture, size))["parameters"]
