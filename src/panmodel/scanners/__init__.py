"""Scanners, found by directory: each knows one kind of file and what in it could execute or reach outside.

Every scanner that recognises a file looks at it, whatever the file is called: what is two things at once is looked at
twice. Modules without a `SCANNER` are tables of those that have one.
"""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache

from panmodel.errors import PanmodelError
from panmodel.model.finding import Rule
from panmodel.model.scanner import RULES, UNKNOWN, Scanner, Subject


@cache
def registry() -> tuple[Scanner, ...]:
    """Every scanner, in the order of their modules' names."""
    modules = sorted(info.name for info in pkgutil.iter_modules(__path__))
    found = (getattr(importlib.import_module(f"{__name__}.{module}"), "SCANNER", None) for module in modules)
    return tuple(scanner for scanner in found if isinstance(scanner, Scanner))


def rules() -> tuple[Rule, ...]:
    """Every rule that a scanner may report, each once, sorted by its id."""
    found = {rule.id: rule for scanner in registry() for rule in scanner.rules} | {rule.id: rule for rule in RULES}
    return tuple(found[key] for key in sorted(found))


def look(subject: Subject) -> None:
    """Hand a subject to every scanner that recognises it; what none recognises is undecided."""
    for scanner in registry():
        if not _recognises(scanner, subject):
            continue
        subject.kinds.append(scanner.name)
        try:
            scanner.scan(subject)
        except PanmodelError as error:
            subject.report_error(error)
    if not subject.kinds:
        shown = subject.head(8).hex(" ") or "nothing"
        subject.report(UNKNOWN, f"{subject.source.size} bytes of unknown kind, which begin with {shown}")


def _recognises(scanner: Scanner, subject: Subject) -> bool:
    try:
        return scanner.recognises(subject)
    except PanmodelError:
        return False
