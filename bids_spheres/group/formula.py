"""Formulas of models, checked before formulaic sees them.

formulaic hands calls and braces of a formula to Python's ``eval``, with every builtin in reach. A
formula may come from a settings file or a form, so nothing of it is evaluated until each part is
known to be harmless: names of columns, numbers, operators, and calls of `ELEMENTWISE` and
`BASES` functions and of ``C``. What would take hours or more memory than there is, as powers of
powers and interactions of many factors, is refused by counting before anything is built.
"""

from __future__ import annotations

import ast
import math
import re
import warnings
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from bids_spheres.errors import DataError, MissingInputError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from types import ModuleType

MAX_LENGTH = 2000  # characters of a formula
MAX_POWER = 10  # exponents of variables and of terms, and degrees of polynomials
MAX_TERMS = 10_000  # counted before those that are equal become one
MAX_FACTORS = 8  # variables in one interaction; formulaic looks at each subset of them
MAX_DF = 100  # columns of one basis of splines
MAX_COLUMNS = 2000  # of a design, with all levels of every factor

ELEMENTWISE: Mapping[str, tuple[str, ...]] = {
    **dict.fromkeys(("I", "log", "log2", "log10", "log1p", "exp", "exp2", "sqrt", "abs"), ()),
    "center": (),
    "scale": ("center", "scale", "ddof"),
    "standardize": ("center", "rescale", "ddof"),
}
"""Functions that give a column for a column, and what else they take."""

_SPLINE = ("df", "knots", "lower_bound", "upper_bound", "constraints", "extrapolation")

_FACTOR = ("contrasts", "levels", "spans_intercept")
"""What ``C`` takes beside a column."""

BASES: Mapping[str, tuple[str, ...]] = {
    "poly": ("degree", "raw"),
    "bs": (
        *("df", "knots", "degree", "include_intercept"),
        *("lower_bound", "upper_bound", "extrapolation"),
    ),
    **dict.fromkeys(("cr", "cs", "cc"), _SPLINE),
}
"""Functions that give several columns for one, and what else they take."""

CONTRASTS: Mapping[str, tuple[str, ...]] = {
    "Treatment": ("reference",),
    **dict.fromkeys(("contr.treatment", "contr.SAS"), ("base",)),
    **dict.fromkeys(("Sum", "contr.sum"), ()),
    **dict.fromkeys(("Poly", "contr.poly"), ("scores",)),
    **dict.fromkeys(("Helmert", "contr.helmert"), ("reverse", "scale")),
    **dict.fromkeys(("Diff", "contr.diff"), ("backward",)),
}
"""Contrasts that ``C`` takes, by their names in patsy and in formulaic, and what they take."""

_ADDED = {"log1p": np.log1p, "sqrt": np.sqrt, "abs": np.abs}
"""Functions that formulaic does not have."""

_OPERATORS = re.compile(r"[-+*/:^~]+|in")
_NUMBER = re.compile(r"[0-9]+(\.[0-9]*)?|\.[0-9]+")
_UNSAFE = re.compile(r"""["'\\`]""")
"""Characters of a string that could end it: formulaic puts calls into code as text."""

_LIMITS = {"degree": MAX_POWER, "df": MAX_DF}
"""Largest values of arguments that decide how much is computed."""

_LARGEST = 1e15
"""Constants are no larger, so that Python has no integers of any length to compute with."""


@dataclass(frozen=True)
class Formula:
    """A formula without anything that could do harm.

    `categories` are columns of a table of which ``C`` makes categories, `numbers` those that it
    uses in another way, be it as well; `terms` the names, calls and numbers of each term.
    """

    text: str
    categories: frozenset[str]
    numbers: frozenset[str]
    terms: tuple[tuple[str, ...], ...]

    @property
    def columns(self) -> frozenset[str]:
        """Columns of a table that it uses."""
        return self.categories | self.numbers

    def matrix(self, data: pd.DataFrame) -> pd.DataFrame:
        """Design matrix (N, K) of a table (N, V), whose columns have the names of terms.

        Its attribute ``terms`` has the numbers of the columns of each term of the formula. The
        table has all `columns`, and no missing values. UsageError when formulaic can't compute
        it, DataError when it would have more than `MAX_COLUMNS`.
        """
        total = sum(math.prod(_width(factor, data) for factor in term) for term in self.terms)
        if total > MAX_COLUMNS:
            raise DataError(
                f"The model {self.text!r} would have up to {total} columns; at most "
                f"{MAX_COLUMNS} are built.",
                hint="Leave out an interaction, or a column with as many values as participants.",
            )
        # Whole numbers would overflow in powers; as levels of a factor they keep their look.
        exact = {
            name: data[name].astype(float)
            for name in self.numbers
            if pd.api.types.is_integer_dtype(data[name])
        }
        # Without variables nothing says how many rows the design has.
        rows = data.assign(**exact) if len(data.columns) else data.assign(constant=1)
        formulaic = load_formulaic()
        try:
            with np.errstate(all="ignore"), warnings.catch_warnings():
                # Values of no level would become those of the reference.
                warnings.simplefilter("error", formulaic.errors.DataMismatchWarning)
                matrix = formulaic.model_matrix(self.text, rows, context=_ADDED, na_action="raise")
        except Exception as error:
            raise _unusable(self.text, error) from error
        terms = matrix.model_spec.term_indices
        table = pd.DataFrame(matrix)
        table.attrs["terms"] = {str(term): tuple(columns) for term, columns in terms.items()}
        return table


def read_formula(text: str) -> Formula:
    """Check a formula without an outcome and find the columns it uses; nothing is evaluated.

    MissingInputError when formulaic is not installed; UsageError when it is no formula, has
    anything that is not allowed, or is too large.
    """
    if len(text) > MAX_LENGTH:
        raise UsageError(
            f"The model has {len(text)} characters; at most {MAX_LENGTH} are read.",
            hint="Leave out terms, or shorten the names of columns.",
        )
    if not text.isprintable():
        raise UsageError(f"The model {text!r} has characters that can't be printed.")
    load_formulaic()
    checks = _Checks(text)
    try:
        checks.check_tokens(import_module("formulaic.parser.algos.tokenize").tokenize(text))
        tree = import_module("formulaic.parser").DefaultFormulaParser().get_ast(text)
        _count_terms(tree, text)
        parsed = import_module("formulaic").Formula(text)
    except UsageError:
        raise
    except Exception as error:
        raise _unusable(text, error) from error
    if type(parsed).__name__ != "SimpleFormula":
        raise _two_sided(text)
    terms = tuple(tuple(factor.expr for factor in term.factors) for term in parsed)
    for term in terms:
        _check_limit(text, len(term), MAX_FACTORS, "variables in one interaction")
    return Formula(text, frozenset(checks.categories), frozenset(checks.numbers), terms)


def load_formulaic() -> ModuleType:
    """The package formulaic; MissingInputError, which says how to install it, without it."""
    try:
        return import_module("formulaic")
    except ImportError as error:
        raise MissingInputError(
            "A model needs the package formulaic, which is not installed.",
            hint='pip install "bids-spheres[group]"',
        ) from error


class _Checks:
    """Refuse what a formula must not have; remember the columns it uses."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.categories: set[str] = set()
        self.numbers: set[str] = set()

    def check_tokens(self, tokens: Iterable[Any]) -> None:
        """Check every token as formulaic reads it."""
        for token in tokens:
            shown, kind = token.token, token.kind.value
            if kind == "name":
                if _NUMBER.fullmatch(shown):  # which formulaic would take for the number
                    raise self._refuse(f"`{shown}`", f"Write Q('{shown}') for the column.")
                self.numbers.add(shown)
            elif kind == "python":  # a call, or what is in braces: all that would be evaluated
                if "`" in shown:
                    raise self._refuse("`", "Write Q('name') for a column in a function.")
                self._check_code(ast.parse(shown, mode="eval").body)
            elif "|" in shown and kind == "operator":
                raise _two_sided(self.text)
            elif not {
                "value": _NUMBER.fullmatch(shown),
                "operator": _OPERATORS.fullmatch(shown),
                "context": shown in "()",
            }[kind]:
                raise self._refuse(shown)

    def _check_code(self, node: ast.expr) -> None:
        match node:
            case ast.Call(func=ast.Name(id="C")):
                first = self._first_argument(node, _FACTOR)
                if name := _column(first):
                    self._check_string(name)
                    self.categories.add(name)
                else:
                    self._check_numeric(first)
            case ast.Call(func=ast.Name(id=name)) if name in BASES:
                self._check_numeric(self._first_argument(node, BASES[name]))
            case _:
                self._check_numeric(node)

    def _first_argument(self, call: ast.Call, parameters: tuple[str, ...]) -> ast.expr:
        """First argument of a call, if the others are constants, or a coding of levels."""
        if not 1 <= len(call.args) <= 1 + len(parameters):
            hint = f"It takes a column{''.join(f', {name}' for name in parameters)}."
            raise self._refuse(ast.unparse(call), hint)
        for name, value in _named_arguments(call, parameters).items():
            if name not in parameters:
                raise self._refuse(name)
            is_constant, limit = _is_harmless(_literal(value)), _LIMITS.get(name)
            if name == "contrasts" and not is_constant:
                self._check_contrast(value)
            elif not is_constant or (limit and abs(_number(value) or 0) > limit):
                hint = f"It is a number up to {limit}." if limit else ""
                raise self._refuse(f"{name}={ast.unparse(value)}", hint)
        return call.args[0]

    def _check_contrast(self, node: ast.expr) -> None:
        """Check a scheme of coding the levels of a factor, with or without arguments."""
        name = ast.unparse(node.func if isinstance(node, ast.Call) else node)
        if name not in CONTRASTS:
            raise self._refuse(name, f"Contrasts are: {', '.join(CONTRASTS)}.")
        if isinstance(node, ast.Call):
            # As a method of the column, of which formulaic has the first argument.
            call = ast.Call(node.func, [ast.Constant(value=None), *node.args], node.keywords)
            self._first_argument(call, CONTRASTS[name])

    def _check_numeric(self, node: ast.expr) -> None:
        """Check arithmetic of columns and numbers, or a function of it."""
        if column := _column(node):
            self._check_string(column)
            self.numbers.add(column)
            return
        match node:
            case ast.Constant(value=int() | float() as value) if value <= _LARGEST:
                pass
            case ast.BinOp(left=left, op=ast.Pow(), right=right):
                power = _number(right)
                if power is None or abs(power) > MAX_POWER or not _has_column(left):
                    hint = f"Powers are of columns, with a number up to {MAX_POWER}."
                    raise self._refuse(ast.unparse(node), hint)
                self._check_numeric(left)
            case ast.BinOp(
                left=left, op=ast.Add() | ast.Sub() | ast.Mult() | ast.Div(), right=right
            ):
                self._check_numeric(left)
                self._check_numeric(right)
            case ast.UnaryOp(op=ast.USub() | ast.UAdd(), operand=operand):
                self._check_numeric(operand)
            case ast.Compare(left=left, ops=[operator], comparators=[right]) if not isinstance(
                operator, ast.Is | ast.IsNot | ast.In | ast.NotIn
            ):
                self._check_numeric(left)
                if isinstance(level := _literal(right), str):
                    self._check_string(level)
                else:
                    self._check_numeric(right)
            case ast.Call(func=ast.Name(id=name)) if name in ELEMENTWISE:
                self._check_numeric(self._first_argument(node, ELEMENTWISE[name]))
            case _:
                raise self._refuse(ast.unparse(node))

    def _check_string(self, text: str) -> None:
        if not _is_harmless(text):
            raise self._refuse(repr(text), "Rename the column or level: quotes can't be used.")

    def _refuse(self, part: str, hint: str = "") -> UsageError:
        functions = ", ".join([*ELEMENTWISE, *BASES])
        return UsageError(
            f"The model {self.text!r} can't be used: {part!r} is not allowed in it.",
            hint=hint or f"Allowed are columns, numbers, operators, C, Q, {functions}.",
        )


def _column(node: ast.AST) -> str | None:
    """Name of a column that stands alone, also as ``Q('name')``."""
    match node:
        case ast.Name(id=name):
            return name
        case ast.Call(func=ast.Name(id="Q"), args=[ast.Constant(value=str(name))], keywords=[]):
            return name
        case _:
            return None


def _has_column(node: ast.expr) -> bool:
    """Whether arithmetic is of a column, and so of floating point numbers."""
    parts = list(ast.walk(node))
    functions = [part.func for part in parts if isinstance(part, ast.Call)]
    return any(_column(part) for part in parts if part not in functions)


def _named_arguments(call: ast.Call, parameters: tuple[str, ...]) -> dict[str, ast.expr]:
    """Arguments of a call but the first, by their names."""
    arguments = dict(zip(parameters, call.args[1:], strict=False))
    return arguments | {word.arg or "**": word.value for word in call.keywords}


def _literal(node: ast.expr) -> object:
    """Value of a constant, or of a list of these; an ellipsis for anything else."""
    try:
        return ast.literal_eval(node)
    except ValueError:
        return ...


def _is_harmless(value: object) -> bool:
    """Whether it is a number, a truth value, None, a harmless string, or a list of these."""
    if isinstance(value, list | tuple):
        return all(map(_is_harmless, value))
    if isinstance(value, str):
        return value.isprintable() and not _UNSAFE.search(value)
    return value is None or isinstance(value, int | float)


def _number(node: ast.expr) -> float | None:
    """Value of a number, also of a negative one; None for anything else."""
    value = _literal(node)
    return float(value) if isinstance(value, int | float) else None


def _count_terms(node: object, text: str) -> int:
    """Largest number of terms that a part of a formula can become, from formulaic's tree of it."""
    operator = getattr(node, "operator", None)
    if operator is None:
        return 1
    parts: Sequence[object] = getattr(node, "args", ())
    symbol, counts = operator.symbol, [_count_terms(part, text) for part in parts]
    total = sum(counts)
    if symbol in {"**", "^"}:
        exponent = str(parts[1])
        if not exponent.isdecimal() or not 1 <= int(exponent) <= MAX_POWER:
            raise UsageError(
                f"The model {text!r} can't be used: a power of terms is a whole number from 1 to "
                f"{MAX_POWER}, not {exponent}.",
                hint="I(age ** 2) is the square of a column.",
            )
        total = counts[0] ** int(exponent)
    elif symbol in {":", "*"}:
        total = math.prod(counts) + (total if symbol == "*" else 0)
    _check_limit(text, total, MAX_TERMS, "terms")
    return total


def _check_limit(text: str, number: int, limit: int, what: str) -> None:
    if number > limit:
        raise UsageError(
            f"The model {text!r} would have {number} {what}; at most {limit} are built.",
            hint="Name the terms that you need.",
        )


def _width(factor: str, data: pd.DataFrame) -> int:
    """Most columns that a name, call or number of a formula gives for a table."""
    if factor in data.columns:
        numeric = pd.api.types.is_numeric_dtype(data[factor])
        return 1 if numeric else max(1, data[factor].nunique())
    if _NUMBER.fullmatch(factor):
        return 1
    node = ast.parse(factor, mode="eval").body
    if column := _column(node):
        return _width(column, data)
    match node:
        case ast.Call(func=ast.Name(id="C")) as call:
            column = _column(call.args[0])
            return len(data) if column is None else max(1, data[column].nunique())
        case ast.Call(func=ast.Name(id=name)) as call if name in BASES:
            arguments = _named_arguments(call, BASES[name])
            knots = len(list(ast.walk(arguments["knots"]))) if "knots" in arguments else 0
            sizes = [_number(arguments[name]) or 0 for name in _LIMITS if name in arguments]
            return int(max([3, *sizes])) + knots + 1
        case _:
            return 2  # a comparison has two levels, arithmetic one column


def _two_sided(text: str) -> UsageError:
    if "|" in text:
        return UsageError(
            f"The model {text!r} has random effects, which are not fitted.",
            hint="Put C(site) into the model, or take --clusters site for standard errors that "
            "are robust to sites, --blocks site for permutations within them, or --within session "
            "for participants measured several times.",
        )
    return UsageError(
        f"The model {text!r} must have one side, which explains the edges.",
        hint='Write it like "age + sex", without an outcome.',
    )


def _unusable(text: str, error: Exception) -> UsageError:
    said = str(error).strip().split("\n", maxsplit=1)[0]
    return UsageError(
        f"The model {text!r} can't be used: {said or type(error).__name__}",
        hint='Formulas are those of formulaic, e.g. "age + C(site)" or "age * sex".',
    )
