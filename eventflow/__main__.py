"""``python -m eventflow``: the command line without the console script."""

from eventflow.cli.main import main

main()
