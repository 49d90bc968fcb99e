"""The one exception that is the user's to mend."""


class KwsError(Exception):
    """What is wrong, what was found, what to do: shown as one line on stderr, exit status 1."""
