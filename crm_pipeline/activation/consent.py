"""May this person be reached this way? Unknown is not yes, and a no from anywhere is a no.

Asked are the publication and the warehouse both: an opt-out counts as soon as it has landed and was
built, even if the publication after it was refused; a yes counts when both have it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

import duckdb

ANY = "any"
_ANSWERS = """
select customer_key, channel, bool_and(is_granted) as is_granted from (
    select customer_key, channel, is_granted from marts.customer_consents
    where purpose in (?, 'any') and is_granted is not null
    union all
    select customer_key, 'record' as channel, is_marketing_allowed
    from marts.dim_customers where is_marketing_allowed is not null
    and (? = 'marketing' or not is_marketing_allowed)){restriction} group by all
"""


@dataclass(frozen=True)
class Consents:
    """The answers for one purpose: (customer, channel) -> yes or no; nothing is unknown.

    The channel ``any`` holds for all, ``record`` is what the customer's own record says of
    marketing:
    a yes to that and to nothing else, a no to everything.
    """

    answers: Mapping[tuple[str, str], bool] = field(default_factory=dict)

    def may(self, customer_key: str, channel: str) -> bool | None:
        """Return whether a person may be reached through a channel; ``None`` is not known."""
        said = [
            self.answers[customer_key, one]
            for one in (channel, ANY, "record")
            if (customer_key, one) in self.answers
        ]
        if not said:
            return None
        return all(said)

    def refusers(self) -> set[str]:
        """Return everybody who said no to anything."""
        return {customer for (customer, _), is_granted in self.answers.items() if not is_granted}


def read_consents(
    con: duckdb.DuckDBPyConnection, purpose: str, customer_keys: Collection[str] | None = None
) -> Consents:
    """Return the answers for a purpose, in the publication or in the warehouse.

    Args:
        con: Either of them.
        purpose: What was agreed to.
        customer_keys: Of whom; ``None`` is everybody.
    """
    restriction = ""
    parameters: list[object] = [purpose, purpose]
    if customer_keys is not None:
        restriction = "where customer_key in (select unnest(?::varchar[]))"
        parameters = [purpose, purpose, sorted(customer_keys)]
    rows = con.execute(_ANSWERS.format(restriction=restriction), parameters).fetchall()
    return Consents({(customer, channel): bool(said) for customer, channel, said in rows})


def agreeing(published: Consents, built: Consents) -> Consents:
    """Return what both say: a no of either, a yes of both."""
    keys = published.answers.keys() | built.answers.keys()
    answers = {}
    for key in keys:
        said = [one.answers[key] for one in (published, built) if key in one.answers]
        if not all(said):
            answers[key] = False
        elif len(said) > 1:
            answers[key] = True
    return Consents(answers)
