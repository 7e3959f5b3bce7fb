"""A page of the runs, filtered and sorted in the store: what a table of a thousand runs reads, whatever their number. No torch."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from sqlalchemy import ColumnElement, case, func, or_, select, text

from core.errors import one_of
from core.runs.store import Store
from core.runs.tables import Run

Order = Literal["newest", "oldest", "accuracy", "MACs left"]
ORDERS: tuple[Order, ...] = get_args(Order)


@dataclass(frozen=True)
class Filter:
    """Which runs: of any of these states, data sets, networks and tags (none given: all), with `words` in a name, setting or tag."""

    states: tuple[str, ...] = ()
    datasets: tuple[str, ...] = ()
    networks: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    words: str = ""


@dataclass(frozen=True)
class Choices:
    """What can be filtered by, each in order; `states`: how many runs are in each."""

    states: dict[str, int] = field(default_factory=dict)
    datasets: list[str] = field(default_factory=list)
    networks: list[str] = field(default_factory=list)
    tags: list[str] = field(default_factory=list)


def page(store: Store, wanted: Filter, order: Order = "newest", limit: int = 25, offset: int = 0) -> tuple[list[Run], int]:  # fmt: skip
    """At most `limit` runs from `offset` on, and how many there are in all: two queries, and no more rows than shown."""
    if order not in ORDERS:
        raise one_of("order", order, ORDERS)
    chosen = [~Run.deleted, *_conditions(wanted)]
    with store.reading() as session:
        total = session.scalar(select(func.count()).select_from(Run).where(*chosen)) or 0
        rows = session.scalars(select(Run).where(*chosen).order_by(*_order(order)).limit(limit).offset(offset))
        return list(rows), total


def choices(store: Store) -> Choices:
    """The states, data sets, networks and tags that runs have: two queries."""
    data, network = _setting("dataset"), _setting("network")
    with store.reading() as session:
        counted = session.execute(
            select(Run.state, data, network, func.count()).where(~Run.deleted).group_by(Run.state, data, network)
        ).all()
        tags = session.scalars(
            text("SELECT DISTINCT tag.value FROM runs, json_each(runs.tags) AS tag WHERE NOT runs.deleted")
        ).all()
    states: dict[str, int] = {}
    for state, _, _, count in counted:
        states[state] = states.get(state, 0) + count
    datasets, networks = ({str(row[column]) for row in counted} for column in (1, 2))
    return Choices(dict(sorted(states.items())), sorted(datasets), sorted(networks), sorted(map(str, tags)))


def _setting(name: str) -> ColumnElement[str]:
    return func.json_extract(Run.config, f"$.{name}")


def _conditions(wanted: Filter) -> list[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = []
    if wanted.states:
        found.append(Run.state.in_(wanted.states))
    for name, values in (("dataset", wanted.datasets), ("network", wanted.networks)):
        if values:
            found.append(_setting(name).in_(values))
    if wanted.tags:
        each = func.json_each(Run.tags).table_valued("value", name="tag")
        found.append(select(each.c.value).where(each.c.value.in_(wanted.tags)).exists())
    tags = func.coalesce(Run.tags, "[]")
    for word in wanted.words.split():
        places = (Run.id, Run.name, Run.preset, Run.role, Run.state, _setting("dataset"), _setting("network"), tags)
        found.append(or_(*(func.instr(func.lower(place), word.lower()) > 0 for place in places)))
    return found


def _order(order: Order) -> tuple[ColumnElement[Any], ...]:
    last = (Run.created.desc(), Run.id.desc())
    if order == "oldest":
        return Run.created.asc(), Run.id.asc()
    if order == "accuracy":
        tuned, plain = _result("$.accuracy.finetuned"), _result("$.accuracy.test")
        return func.coalesce(tuned, plain).desc().nulls_last(), *last
    if order == "MACs left":
        ratio = _result("$.macs_per_image.compact") * 1.0 / _result("$.macs_per_image.dense")
        return ratio.asc().nulls_last(), *last
    return last


def _result(path: str) -> ColumnElement[float]:
    """A number of the result; NULL where there is none, or where the result holds numbers that JSON has not."""
    return case((func.json_valid(Run.result) == 1, func.json_extract(Run.result, path)), else_=None)
