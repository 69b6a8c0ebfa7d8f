"""How an option is declared: once, beside the setting that it makes.

The parser, the record of settings, sidecars, the methods text, the check of what is up to date, the
comparison of matrices at the group level, the Boutiques descriptor and the pages of the
documentation are all made from the declarations.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, Literal, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from _typeshed import DataclassInstance

    from bids_spheres.settings.values import Kind

T = TypeVar("T", bound="DataclassInstance")

# Outputs of a run that have to be made again when a setting changes.
Output = Literal["spheres", "design", "series"]
# What the group level does with matrices made with different values of a setting.
Mixing = Literal["refuse", "note", "allow"]
# Headings of the help, in their order.
SECTIONS = (
    "seeds",
    "denoising",
    "selection of runs",
    "group level",
    "keeping and repeating",
    "reports",
    "running",
    "resources; what is written does not depend on them",
    'clusters, which need pip install "bids-spheres[dask]"',
)


@dataclass(frozen=True)
class Option:
    """How a setting is given on the command line, and what depends on it."""

    help: str
    section: str = ""  # beginning of one of `SECTIONS`; "" for a positional argument
    kind: Kind | None = None  # how a word becomes a value; None for a switch: a bool or a count
    short: str = ""  # further flag of one letter, with its dash
    levels: tuple[str, ...] = ("participant",)  # analysis levels at which it has an effect
    selects_at_group: bool = False  # it chooses among what was written; there all by default
    affects: tuple[Output, ...] = ()  # outputs that are made again when it changes
    sidecar: str = ""  # key under which the outputs it affects record it; "" for none
    mixing: Mixing = "allow"  # whether the group level pools matrices made with different values
    voxels: bool = False  # whether it decides which voxels spheres are made of
    methods: str | Mapping[str, str] = ""  # sentence of the methods text, or words for values
    needs: tuple[str, ...] = ()  # options without any of which it has no effect
    changes: str = ""  # key of every strategy that it sets, from the top and joined by dots
    common: bool = False  # whether the short help has it
    alone: str = ""  # word that the flag of a list stands for where none follows
    aliases: tuple[str, ...] = ()  # flags of other BIDS Apps, with dashes, that stand for it

    def in_methods(self, value: object, **words: object) -> str:
        """What the methods text says of a value; empty where it says nothing."""
        text = self.methods
        if not isinstance(text, str):
            text = text.get(str(value), "")
        percent = 100 * value if isinstance(value, float) else None
        return text.format(value=value, percent=percent, **words) if value else ""


@dataclass(frozen=True)
class Declared:
    """An option with the name and the default of its setting."""

    name: str
    default: object
    option: Option

    @property
    def flag(self) -> str:
        """Long form, with dashes."""
        return f"--{self.name.replace('_', '-')}"

    @property
    def flags(self) -> tuple[str, ...]:
        """Flags in both spellings that users type, with - and with _; none of a positional."""
        if not self.option.section:
            return ()
        short = (self.option.short,) if self.option.short else ()
        return (*short, *dict.fromkeys((self.flag, f"--{self.name}")))


def option(text: str, kind: Kind | None = None, **rest: Any) -> Any:
    """A field of settings; `rest` are parameters of `Option`, and a default but None or False."""
    default = rest.pop("default", None if kind else False)
    return field(default=default, metadata={"option": Option(text, kind=kind, **rest)})


def declared_options(kind: type[DataclassInstance]) -> Iterator[Declared]:
    """Every option of a dataclass whose fields are made by `option`, or are such dataclasses."""
    for each in fields(kind):
        factory = each.default_factory
        if isinstance(factory, type):
            yield from declared_options(factory)
        elif "option" in each.metadata:
            yield Declared(each.name, each.default, each.metadata["option"])


def build(kind: type[T], values: Mapping[str, object]) -> T:
    """Settings from values of options by name, each item of a list once; the rest by default."""
    given: dict[str, Any] = {}
    for each in fields(kind):
        if isinstance(each.default_factory, type):
            given[each.name] = build(each.default_factory, values)
        elif each.name in values:
            value = values[each.name]
            given[each.name] = tuple(dict.fromkeys(value)) if isinstance(value, list) else value
    return kind(**given)
