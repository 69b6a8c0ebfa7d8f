"""How an option is declared: once, beside the setting that it makes.

A field of a dataclass of settings is made by `option`, whose `Option` says how the setting is
given and what depends on it. The parser, the record of settings, sidecars, the check of what is
up to date, the comparison of matrices at the group level, the Boutiques descriptor and the pages of
the documentation are all made from these declarations.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, Literal, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from _typeshed import DataclassInstance

    from bids_spheres.settings.values import Kind

T = TypeVar("T", bound="DataclassInstance")

Output = Literal["spheres", "design", "series"]
"""Outputs of a run that have to be made again when a setting changes."""

Mixing = Literal["refuse", "note", "allow"]
"""What the group level does with matrices made with different values of a setting."""

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
"""Headings of the help, in their order."""


@dataclass(frozen=True)
class Option:
    """How a setting is given on the command line, and what depends on it."""

    help: str
    section: str = ""
    """Beginning of one of `SECTIONS`; "" for a positional argument."""
    kind: Kind | None = None
    """How a word becomes a value; None for a switch, whose default is a bool or a count."""
    short: str = ""
    """Further flag of one letter, with its dash."""
    levels: tuple[str, ...] = ("participant",)
    """Analysis levels at which it has an effect."""
    selects_at_group: bool = False
    """At the group level it chooses among what was written, and its default is everything."""
    affects: tuple[Output, ...] = ()
    """Outputs that are made again when it changes."""
    sidecar: str = ""
    """Key under which the outputs it affects record it; "" for none."""
    mixing: Mixing = "allow"
    """Whether the group level pools matrices made with different values."""
    voxels: bool = False
    """Whether it decides which voxels spheres are made of."""
    methods: str | Mapping[str, str] = ""
    """Sentence of the methods text where it is set, or words for some of its values; words in
    braces are filled in, `{value}` too."""
    needs: tuple[str, ...] = ()
    """Names of options without any of which it has no effect; empty when it needs none."""
    changes: str = ""
    """Key of every strategy that it sets, from the top and joined by dots; "" for none."""
    common: bool = False
    """Whether the short help has it."""
    alone: str = ""
    """Word that the flag of a list stands for where none follows; "" when one has to."""
    aliases: tuple[str, ...] = ()
    """Flags of other BIDS Apps, with dashes, that stand for it."""

    def in_methods(self, value: object, **words: object) -> str:
        """What the methods text says of a value; empty where it says nothing."""
        text = self.methods
        if not isinstance(text, str):
            text = text.get(str(value), "")
        return text.format(value=value, **words) if value else ""


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


def option(default: Any, text: str, kind: Kind | None = None, **rest: Any) -> Any:
    """A field of settings with its option; `rest` are further parameters of `Option`."""
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
    """Settings of such a dataclass from the values of its options by name; the rest by default.

    What a list holds several times counts once.
    """
    given: dict[str, Any] = {}
    for each in fields(kind):
        if isinstance(each.default_factory, type):
            given[each.name] = build(each.default_factory, values)
        elif each.name in values:
            value = values[each.name]
            given[each.name] = tuple(dict.fromkeys(value)) if isinstance(value, list) else value
    return kind(**given)
