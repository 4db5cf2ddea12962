# What one does here, by https://just.systems: `just` lists it, `just test` does it. Needs a POSIX shell.

python := env("PYTHON", "python3")
bin := ".venv/bin"

_list:
    @just --list --unsorted

# Make .venv with all tools, and install the pre-commit hooks
setup:
    {{ python }} -m venv .venv
    {{ bin }}/pip install -c constraints.txt -e ".[train,dev]"
    {{ bin }}/pre-commit install

# Run the tests; arguments go to pytest: just test tests/noise -m slow
test *arguments:
    {{ bin }}/pytest {{ arguments }}

# Mend what ruff can mend, and check the types
lint:
    {{ bin }}/ruff check --fix
    {{ bin }}/ruff format
    {{ bin }}/basedpyright

# Build the documentation strictly, into site/
docs:
    {{ bin }}/mkdocs build --strict

# Print speed, and quality on the test sets in DATA, as in docs/results.md
bench data="../shared/data":
    {{ bin }}/python benchmarks/speed/denoisers.py
    {{ bin }}/python benchmarks/quality/test_sets.py --data {{ data }}

# Set the version, date the changelog, check everything, commit and tag; pushing the tag publishes it
release version:
    test -z "$(git status --porcelain)"
    grep -q '^## \[Unreleased\]$' CHANGELOG.md
    {{ bin }}/python -c 'import pathlib; pathlib.Path("src/unnoise/_version.py").write_text("\"\"\"The version of the package.\"\"\"\n\n__version__ = \"{{ version }}\"\n")'
    {{ bin }}/python -c 'import datetime, pathlib; page = pathlib.Path("CHANGELOG.md"); page.write_text(page.read_text().replace("## [Unreleased]\n", f"## [Unreleased]\n\n## [{{ version }}] - {datetime.date.today()}\n", 1))'
    .ci/run
    git commit -am "Release {{ version }}"
    git tag -a "v{{ version }}" -m "unnoise {{ version }}"
