"""`python -m unnoise` is `unnoise`."""

from unnoise.cli.main import main

main()
