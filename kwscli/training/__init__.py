"""From the flags of `kws train` to a finished run."""
