"""`python -m kwscli`: the same as the `kws` command."""
from .cli import main

main()
