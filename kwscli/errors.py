"""The exceptions that mean: the user can solve this."""


class KwsError(Exception):
    """A problem that the user can solve. `kws` shows it as one line on stderr and exits with status 1.

    problem: what is wrong and where. advice: what to do about it, where something can be done.
    """

    exit_status = 1

    def __init__(self, problem: str, advice: str = "") -> None:
        super().__init__(problem, advice)
        self.problem, self.advice = problem, advice

    def __str__(self) -> str:
        return "%s; %s" % (self.problem, self.advice) if self.advice else self.problem


class Unavailable(KwsError):
    """What was asked for is not possible for this network or on this machine; the rest may be."""


class Interrupted(KwsError):
    """A signal stopped the work, and what was done so far is kept."""

    def __init__(self, problem: str, advice: str, signal_number: int) -> None:
        super().__init__(problem, advice)
        self.exit_status = 128 + signal_number
