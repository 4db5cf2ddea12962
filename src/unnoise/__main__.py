"""`python -m unnoise` is `unnoise`."""

from unnoise.cli import main

main()
