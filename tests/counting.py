"""Which of the cases that are kept as data have run: counted as tests end, in all processes, and told at the end."""

from __future__ import annotations

from collections import defaultdict


class Counting:
    """A plugin of pytest; a case is the parameter ``name`` of a test.

    Args:
        subject: what the cases are, for the line at the end.
        file_of: the file that a test takes its cases from; None: it takes none.
        cases: those of a file.
    """

    def __init__(self, subject, file_of, cases):
        self._subject = subject
        self._file_of = file_of
        self._cases = cases
        self._ran = defaultdict(set)

    def pytest_runtest_setup(self, item):
        name = getattr(item, "callspec", None) and item.callspec.params.get("name")
        file = None if name is None else self._file_of(item)
        if file is not None:
            item.user_properties.append((self._subject, f"{file} {name}"))

    def pytest_runtest_logreport(self, report):
        if report.when == "call":
            for subject, value in report.user_properties:
                if subject == self._subject:
                    file, _, name = value.partition(" ")
                    self._ran[file].add(name)

    def pytest_terminal_summary(self, terminalreporter):
        if self._ran:
            counts = ", ".join(
                f"{file} {len(self._ran[file])} of {len(self._cases(file))}" for file in sorted(self._ran)
            )
            terminalreporter.write_line(f"{self._subject} that ran: {counts}")
