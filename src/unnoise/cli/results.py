"""Print what a run did: a line for each file, what was passed over, and how far it came if it is interrupted."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import typer

from unnoise.cli.console import print_error, print_line, print_note
from unnoise.cli.options import as_line, finish

if TYPE_CHECKING:
    from unnoise.pipeline.passed_over import PassedOver
    from unnoise.pipeline.process import JobResult


class Results:
    """Prints the results of a run, and counts them.

    Args:
        as_json: print JSON.
        verbose: print size and time of each file, and each file that is skipped or passed over.
        resumable: whether the same command goes on where this one is interrupted.

    Attributes:
        failed: number of files that failed.
    """

    def __init__(self, *, as_json: bool = False, verbose: bool = False, resumable: bool = False) -> None:
        self._as_json, self._verbose, self._resumable = as_json, verbose, resumable
        self._denoised = self._copied = self._planned = self._skipped = self.failed = 0

    def show(self, results: Iterable[JobResult], total: int) -> None:
        """Print results as they come, then the numbers if they are not obvious."""
        before = self._done
        try:
            for result in results:
                self._count(result)
                self._show(result)
        except KeyboardInterrupt:
            goes_on = "; the same command does the rest" if self._resumable else ""
            print_note(f"interrupted: {self._done - before} of {total} files done ({self._numbers}){goes_on}")
            raise
        if self._planned:
            further = f", {self._skipped} skipped (done and unchanged)" if self._skipped else ""
            print_note(f"{self._planned} would be written{further}, {self.failed} would fail: nothing was written")
        elif self._skipped or (self._copied and self._denoised + self._copied + self.failed > 1):
            print_note(self._numbers)

    def show_passed_over(self, passed_over: PassedOver) -> None:
        """Print how many files of the input folders were not touched, and why."""
        if not passed_over.files:
            return
        if self._verbose:
            for path, reason in passed_over.files.items():
                print_note(f"{path}: passed over: {reason}")
        if self._as_json:
            print_line(as_line(passed_over.to_dict()))
        print_note(str(passed_over))

    def finish(self, total: int, passed_over: PassedOver) -> None:
        """Exit with the status of the run: 1 if some files failed, or images were passed over; 2 if all failed."""
        finish(self.failed, total)
        if passed_over.pictures:
            raise typer.Exit(1)

    @property
    def _done(self) -> int:
        return self._denoised + self._copied + self._planned + self._skipped + self.failed

    @property
    def _numbers(self) -> str:
        before = f"{self._skipped} skipped (done and unchanged), " if self._skipped else ""
        return f"{before}{self._denoised} denoised, {self._copied} copied, {self.failed} failed"

    def _count(self, result: JobResult) -> None:
        from unnoise.pipeline.outcome import COPIED, PLANNED

        if result.error:
            self.failed += 1
        elif result.skipped:
            self._skipped += 1
        elif result.done == PLANNED:
            self._planned += 1
        else:
            self._copied += result.done == COPIED
            self._denoised += result.done != COPIED

    def _show(self, result: JobResult) -> None:
        if self._as_json:
            print_line(as_line(result.to_dict()))
        if result.error:
            print_error(result.error)
        elif result.skipped and self._verbose and not self._as_json:
            print_line(f"{result.job.target}: skipped: done and unchanged")
        elif not self._as_json and not result.skipped:
            size = f" ({result.megapixels:.3g} megapixels, {result.seconds:.2f} s)" if self._verbose else ""
            print_line(f"{result.job.target}: {result.outcome}{size}")
