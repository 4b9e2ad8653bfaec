"""What the demo company sells and where its customers live: names, prices, places.

Nothing here tells one segment from another.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from crm_pipeline.demo.behaviour import Floats, Ints

CATEGORIES: dict[str, tuple[str, ...]] = {
    "Garden": ("Planter", "Trellis", "Watering can"),
    "Kitchen": ("Saucepan", "Knife set", "Storage jar"),
    "Living": ("Cushion", "Floor lamp", "Rug"),
    "Bath": ("Towel", "Soap dish", "Bath mat"),
    "Bedding": ("Duvet cover", "Pillow", "Blanket"),
    "Dining": ("Dinner plate", "Tumbler", "Cutlery set"),
    "Outdoor": ("Lantern", "Hammock", "Picnic basket"),
    "Workshop": ("Tool box", "Work lamp", "Shelf"),
}
STYLES = (
    *("oak", "walnut", "ash", "bamboo", "cork", "slate", "linen", "cotton", "wool", "felt"),
    *("copper", "brass", "steel", "enamel", "glass", "clay", "white", "blue", "green", "grey"),
)
SERVICES = (
    # sku, name, price, cost
    ("SHIP-STD", "Standard shipping", 4.95, 3.80),
    ("SHIP-EXP", "Express shipping", 9.95, 7.60),
    ("GIFT-WRAP", "Gift wrapping", 2.50, 0.90),
)
"""Sold on the same documents, but no merchandise."""
PLANS = (
    # sku, name, price and cost of a month
    ("CLUB-BASIC", "Club membership", 3.90, 1.20),
    ("CLUB-PLUS", "Club membership, plus", 7.90, 3.10),
)
"""Memberships of the club; see ``memberships.py``."""

LOWEST_PRICE, HIGHEST_PRICE = 2.0, 400.0
"""Of goods, in EUR, at the price level of the first year; log-spaced, so every price has goods."""
PRICE_RISE = 1.03
"""Prices and costs rise by this factor every 1 January."""
WINDOW = 12
"""Goods that can be sold at a given price: so many cheaper and dearer ones (about +-14 %)."""
THEME_WEIGHT = 6.0
"""How much likelier goods of the order's category are than others of the same price."""

COUNTRIES: dict[str, tuple[tuple[str, str], ...]] = {
    "DE": (
        ("Bayern", "München"),
        ("Bayern", "Nürnberg"),
        ("Nordrhein-Westfalen", "Köln"),
        ("Nordrhein-Westfalen", "Düsseldorf"),
        ("Berlin", "Berlin"),
        ("Hamburg", "Hamburg"),
        ("Sachsen", "Leipzig"),
        ("Hessen", "Frankfurt am Main"),
    ),
    "AT": (("Wien", "Wien"), ("Steiermark", "Graz"), ("Kärnten", "Klagenfurt")),
    "CH": (("Zürich", "Zürich"), ("Bern", "Bern"), ("Genève", "Genève")),
    "FR": (("Grand Est", "Strasbourg"), ("Île-de-France", "Saint-Denis")),
    "NL": (("Noord-Holland", "Amsterdam"), ("Utrecht", "Utrecht")),
}
COUNTRY_SHARES = (0.66, 0.12, 0.10, 0.07, 0.05)
CHANNELS = ("search", "referral", "social", "fair", "catalogue")
CHANNEL_SHARES = (0.38, 0.18, 0.22, 0.07, 0.15)
FIRST_NAMES = (
    *("Anna", "Jürgen", "Léa", "Emre", "Sofie", "Björn", "Käthe", "Milan", "Zoë", "Paul"),
    *("Renée", "Oskar", "Aylin", "Göran", "Ida", "Luca", "Fatma", "Jörg", "Noor", "Claire"),
)
LAST_NAMES = (
    *("Müller", "Schäfer", "Köhler", "Groß", "Weiß", "Yilmaz", "de Vries"),
    *("Lefèvre", "Bäcker", "Novak", "Huber", "Brändli", "Jansen", "Moreau", "Krüger"),
)


@dataclass(frozen=True)
class Catalogue:
    """The goods, sorted by price; the services come from ``SERVICES``.

    Attributes:
        sku, name, category, subcategory: One entry a product.
        price: List price in EUR at the first year's level; ascending.
        cost: Cost in EUR at the first year's level.
        category_index: Position of the category in ``CATEGORIES``.
        draw_table: Shape (goods, categories, 2 * WINDOW + 1): cumulated probability of the
            goods around a position, given the order's category.
    """

    sku: tuple[str, ...]
    name: tuple[str, ...]
    category: tuple[str, ...]
    subcategory: tuple[str, ...]
    price: Floats
    cost: Floats
    category_index: Ints
    draw_table: Floats

    def draw(self, rng: np.random.Generator, price: Floats, theme: Ints) -> Ints:
        """Goods whose list price is near ``price``, mostly of the category ``theme``."""
        near = np.clip(np.searchsorted(self.price, price), 0, len(self.price) - 1)
        offset = (rng.random(len(price))[:, None] > self.draw_table[near, theme]).sum(axis=1)
        return np.clip(near + offset - WINDOW, 0, len(self.price) - 1)


def build_catalogue(rng: np.random.Generator) -> Catalogue:
    """Draw prices, costs and popularity of every style of every kind of goods."""
    goods = [
        (category, kind, style)
        for category, kinds in CATEGORIES.items()
        for kind in kinds
        for style in STYLES
    ]
    size = len(goods)
    goods = [goods[position] for position in rng.permutation(size)]
    ladder = np.geomspace(LOWEST_PRICE, HIGHEST_PRICE, size)
    price = np.maximum.accumulate(np.round(ladder, 1)) - 0.01
    cost = np.round(price * rng.uniform(0.35, 0.70, size), 2)
    names = list(CATEGORIES)
    category = np.asarray([names.index(entry[0]) for entry in goods], dtype=np.int64)
    popularity = rng.gamma(1.5, size=size)

    around = np.arange(size)[:, None] + np.arange(-WINDOW, WINDOW + 1)[None, :]
    exists = (around >= 0) & (around < size)
    around = np.clip(around, 0, size - 1)
    weight = np.where(exists, popularity[around], 0.0)[:, None, :]
    on_theme = category[around][:, None, :] == np.arange(len(names))[None, :, None]
    weight = weight * np.where(on_theme, THEME_WEIGHT, 1.0)
    table = np.cumsum(weight, axis=2)
    table = table / table[:, :, -1:]
    table[:, :, -1] = 1.0
    return Catalogue(
        sku=tuple(f"SKU-{number:04d}" for number in range(1, size + 1)),
        name=tuple(f"{kind}, {style}" for _, kind, style in goods),
        category=tuple(entry[0] for entry in goods),
        subcategory=tuple(entry[1] for entry in goods),
        price=price,
        cost=cost,
        category_index=category,
        draw_table=table,
    )
