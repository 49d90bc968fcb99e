"""The exceptions that are the user's to mend."""


class KwsError(Exception):
    """What is wrong, what was found, what to do: shown as one line on stderr, exit status 1."""

    exit_status = 1


class Interrupted(KwsError):
    """A signal ended the work in good order; what was done is kept."""

    def __init__(self, message, signal_number):
        super().__init__(message)
        self.exit_status = 128 + signal_number
