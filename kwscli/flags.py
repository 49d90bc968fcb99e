"""Settings become flags, and errors become exit statuses. Only this module and `cli` know click."""
import dataclasses
import importlib
import math
import os
import signal
from typing import Any, Callable, Dict, Iterator, List, Optional, Sequence, Tuple, Union

import click

from . import files, script_flags
from .console import say
from .errors import KwsError
from .settings import flag_of, types_of

TRACEBACK = "KWS_TRACEBACK"  # set it to see the traceback of every error


class ListOf(click.ParamType):
    """Values separated by commas or spaces -> a tuple. Words may have spaces in them if commas separate them."""

    def __init__(self, kind: Callable[[str], Any]) -> None:
        self.kind, self.name = kind, {int: "integers", float: "numbers", str: "words"}[kind]

    def convert(self, value: Any, param: Optional[click.Parameter], ctx: Optional[click.Context]) -> Tuple[Any, ...]:
        if isinstance(value, tuple):
            return value
        try:
            items = tuple(self.kind(item) for item in self._parts(value))
        except ValueError:
            items = ()
        if not items:
            self.fail("%r is not a list of %s; separate them by commas" % (value, self.name), param, ctx)
        return items

    def _parts(self, value):
        if self.kind is str and "," in value:
            return filter(None, (" ".join(part.split()) for part in value.split(",")))
        return value.replace(",", " ").split()


class FiniteRange(click.FloatRange):
    """A number in a range, which neither nan nor inf is."""

    def convert(self, value: Any, param: Optional[click.Parameter], ctx: Optional[click.Context]) -> float:
        number = super().convert(value, param, ctx)
        return number if math.isfinite(number) else self.fail("%s is not a finite number" % value, param, ctx)


class Command(click.Command):
    """A command whose flags may have dashes or underscores, and whose lists may follow as separate arguments.

    It takes the flags of the scripts in `script_flags`, too. The flags of settings classes are made at first use,
    because each process runs one command of many.
    """

    @property
    def params(self) -> List[click.Parameter]:
        """The arguments and flags."""
        if self._unmade:
            made = []
            for param in self._params:
                made += param.made() if isinstance(param, _SettingsFlags) else [param]
            self._params, self._unmade = made + list(self._repeated()), False
        return self._params

    @params.setter
    def params(self, params: List[Any]) -> None:
        self._params, self._unmade = params, True

    def _repeated(self):
        for name, kind in script_flags.REPEATED.get(self.name, {}).items():
            kind = ListOf(kind[0]) if isinstance(kind, tuple) else kind
            yield click.Option(
                [flag_of(name)], type=kind, hidden=True, expose_value=False, callback=_remember, is_eager=True,
                help="Repeats the %s that the model file knows." % name,
            )

    def parse_args(self, ctx: click.Context, args: List[str]) -> List[str]:
        return super().parse_args(ctx, list(self._in_our_spelling(args)))

    def _in_our_spelling(self, args: Sequence[str]) -> Iterator[str]:
        args = list(args)
        options = [param for param in self.params if isinstance(param, click.Option) and not param.is_flag]
        types = {name: option.type for option in options for name in option.opts}
        while args:
            arg = args.pop(0)
            if arg == "--":
                yield arg
                yield from args
                return
            if not arg.startswith("--"):
                yield arg
                continue
            name, equals, value = arg.partition("=")
            name = name.replace("_", "-")
            name = script_flags.RENAMED.get(self.name, {}).get(name, name)
            kind = types.get(name)
            if name in script_flags.FIXED.get(self.name, {}):
                if not equals and args and not args[0].startswith("--"):
                    value = args.pop(0)
                self._check_fixed(name, value)
                continue
            if not name:
                yield from [value] if equals else []
                continue
            if isinstance(kind, ListOf) and kind.kind is not str:
                values = [value] if equals else []
                while args and (_are_numbers(args[0]) or not values and not args[0].startswith("--")):
                    values.append(args.pop(0))
                yield name + "=" + ",".join(values)
            elif kind is click.BOOL and not equals:  # `--check_nans` alone means the same as `--check_nans True`
                yield name + "=" + (args.pop(0) if args and _is_bool(args[0]) else "true")
            else:
                yield name + equals + value

    def _check_fixed(self, name, value):
        accepted, advice = script_flags.FIXED[self.name][name]
        if value.lower() not in accepted:
            raise KwsError("kws %s cannot use %s" % (self.name, (name + " " + value).rstrip()), advice)


_GIVEN = "kwscli.flags.given"


def _remember(context, param, value):
    if value is not None:
        context.meta.setdefault(_GIVEN, {})[param.name] = value


def check_repeated(settings_of: Callable[[], Dict[str, Any]], path: str) -> None:
    """Refuse flags that repeat a setting of a model file, but with another value.

    settings_of: returns {name: value} of the settings of the model file in `path`; None for a value that it lacks.
    """
    given = click.get_current_context().meta.get(_GIVEN, {})
    known = settings_of() if given else {}
    for name, value in given.items():
        if known.get(name) is None:
            say("%s is not checked, because %s does not say it." % (flag_of(name), path))
        elif known[name] != value:
            raise KwsError(
                "%s is %s, but that of %s is %s"
                % (flag_of(name), _shown_value(value), path, _shown_value(known[name])),
                "leave it out, or name another --checkpoint",
            )


def _shown_value(value):
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    return "%g" % value if isinstance(value, float) else str(value)


def _are_numbers(text):
    try:
        return bool([float(part) for part in text.replace(",", " ").split()])
    except ValueError:
        return False


def _is_bool(text):
    return text.lower() in ("true", "false", "1", "0", "yes", "no", "t", "f", "y", "n", "on", "off")


class Group(click.Group):
    """Shows a problem that the user can solve as one line and an exit status. A bug of ours keeps its traceback."""

    command_class = Command

    def invoke(self, ctx: click.Context) -> Any:
        try:
            _check_current_folder()
            return super().invoke(ctx)
        except (Exception, KeyboardInterrupt) as error:
            message, status = _shown(error)
            if message is None or os.environ.get(TRACEBACK):
                raise
            shown = click.ClickException(message)
            shown.exit_code = status
            raise shown


def _shown(error):
    """(the line to show, the exit status) of an error; the line is None where it is a bug of ours."""
    if isinstance(error, KwsError):
        return str(error), error.exit_status
    if isinstance(error, KeyboardInterrupt):
        return "stopped", 128 + signal.SIGINT
    if isinstance(error, OSError) and error.errno in files.USERS_ERRNOS:
        return files.explain(error), KwsError.exit_status
    if isinstance(error, UnicodeEncodeError) and "surrogates not allowed" in error.reason:
        return "the name %r is not valid UTF-8; rename it" % error.object, KwsError.exit_status
    return None, None


def _check_current_folder():
    try:
        os.getcwd()
    except FileNotFoundError:
        raise KwsError("the current folder no longer exists", "change to another folder")


def options(settings_class: Union[type, str], **defaults: Any) -> Callable:
    """A decorator that adds an --option for each field of a settings class, which may be named as "module:Class".

    An option that the user does not give is None, because the settings class knows the default. defaults: what --help
    shows as the default where that depends on the command.
    """

    def decorate(function):
        # click.command takes its parameters from here, as click.option leaves them.
        function.__dict__.setdefault("__click_params__", []).append(_SettingsFlags(settings_class, defaults))
        return function

    return decorate


class _SettingsFlags:
    """The flags of a settings class."""

    def __init__(self, settings_class, defaults):
        self._class, self._defaults = settings_class, defaults

    def made(self):
        """A click.Option for each field."""
        settings_class = self._class
        if isinstance(settings_class, str):
            module, _, name = settings_class.partition(":")
            settings_class = getattr(importlib.import_module(module), name)
        kinds = types_of(settings_class)
        return [self._option(field, *kinds[field.name]) for field in dataclasses.fields(settings_class)]

    def _option(self, field, kind, is_tuple):
        default = self._defaults.get(field.name, field.default)
        if isinstance(default, tuple):
            default = ",".join("%g" % item if kind is float else str(item) for item in default)
        return click.Option(
            [flag_of(field.name)],
            type=_click_type(kind, is_tuple, field.metadata),
            help=field.metadata["help"] + ("" if default in (None, "") else "  [default: %s]" % default),
            metavar="BOOL" if kind is bool else None,
            multiple=field.metadata["repeated"],
        )


def _click_type(kind, is_tuple, metadata):
    if metadata["choices"]:
        return click.Choice(list(metadata["choices"]))
    if is_tuple and not metadata["repeated"]:
        return ListOf(kind)
    if kind in (int, float) and (metadata["minimum"], metadata["maximum"]) != (None, None):
        return {int: click.IntRange, float: click.FloatRange}[kind](metadata["minimum"], metadata["maximum"])
    return {int: click.INT, float: click.FLOAT, str: click.STRING, bool: click.BOOL}[kind]
