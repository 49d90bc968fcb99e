"""The real one loads the adapter's library."""


def version():
    return "fake"
