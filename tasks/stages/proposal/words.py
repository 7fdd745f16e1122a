"""The words by which people name columns, events and classes."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence

from tasks import columns as c
from tasks.contracts.cells import FALSE, TRUE

SHORTEST_STEM, LONGEST_ENDING = 5, 2  # letters


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


ID = frozenset(_words("id ids no nr num number nummer code key uid guid uuid ref"))
NOT_AN_ID = frozenset(
    _words(
        "name title text age gender sex type group count category cat country region city zip state date time "
        "brand price level score status email segment class since birth url description desc vorname alter land "
        "plz length income rating style color colour size brand genre unit"
    )
)
TIMES = frozenset(
    _words(
        "time timestamp ts date datetime day when at created updated clicked bought sold ordered datum zeit "
        "uhrzeit fecha data tijd heure unix epoch ms posted dia día dag giorno"
    )
)
USERS = frozenset(
    _words(
        "user profile customer client visitor member account buyer reviewer person kunde kunden shopper household "
        "subscriber player listener cust consumer patron cliente klant klient uid login utilisateur usuario "
        "utente gebruiker użytkownik"
    )
)
ITEMS = frozenset(
    _words(
        "item product sku article artikel movie film book song track artist asin isbn stock material content "
        "video game anime listing offer prod show course recipe produkt producto podcast news ad business "
        "venue place poi hotel restaurant app beer wine job page post question produit artículo articulo "
        "articolo prodotto produto towar vare goods merchandise"
    )
)
LINES = frozenset(_words("line lineitem position pos zeile ligne"))
ORDERS = frozenset(
    _words(
        "order invoice basket transaction receipt session bestell bestellung rechnungs rechnung beleg bon "
        "ticket trans purchase txn checkout visit commande pedido facture factura fattura ordine bestelling "
        "faktura zamówieni pedido nota"
    )
)
EVENTS = frozenset(_words("event action behavior behaviour interaction activity ereignis aktion"))
QUANTITIES = frozenset(
    _words(
        "quantity qty pieces units menge anzahl quantité cantidad count stück stueck amount quantità aantal "
        "ilość quantidade qté uds unidades stk pcs pz szt antal"
    )
)
PRICES = frozenset(_words("price preis einzelpreis unitprice cost prix precio stückpreis prijs prezzo cena preço"))
RATINGS = frozenset(_words("rating ratings score stars overall grade bewertung note vote sterne"))
MONEY = frozenset(
    _words(
        "revenue amount total sales sum turnover umsatz betrag gesamt value spend paid gross net montant importe "
        "importo bedrag kwota subtotal usd eur gbp"
    )
)
BESIDE_THE_SALE = frozenset(
    _words("freight shipping tax vat discount fee tip refund deposit balance limit")
)  # money of another kind
TITLES = frozenset(
    _words(
        "description title name category genre genres desc label bezeichnung titel beschreibung désignation "
        "libellé descripción descrizione omschrijving opis nazwa nombre nome naam nom titre título"
    )
)
SEGMENTS = _words(
    "country land pays país paese kraj region segment market channel state store shop filiale city"
)  # the best one first
TARGETS = _words(
    "target label class y churn churned default defaulted outcome survived converted conversion response "
    "clicked click fraud attrition exited subscribed canceled cancelled purchased bought diagnosis result readmitted "
    "approved"
)
CLASS_1 = frozenset(
    _words(
        "yes y true t 1 ja si oui sim positive pos churned churn default fraud malignant m bad converted clicked "
        "left sick ill failed fail spam attrited lost subscribed approved accepted"
    )
)
OF_THE_ROW = frozenset(_words("birth dob born since start begin beginn joined signup registered expires expiry"))  # times
LATER = frozenset(_words("updated ship shipped delivery release released modified"))  # times after what happened
HAPPENED = frozenset(_words("event order invoice timestamp purchase created"))  # times of it

EVENT_WORDS: Mapping[str, str] = {  # what shops call an event -> ours
    **dict.fromkeys(
        _words("view viewed pageview page_view detail details pv visit seen ansicht impression show browse click clicked"),
        c.VIEW,
    ),
    **dict.fromkeys(
        _words(
            "addtocart add_to_cart cart basket add warenkorb remove_from_cart removefromcart wishlist add_to_wishlist"
            " fav favorite"
        ),
        c.CART,
    ),
    **dict.fromkeys(
        _words(
            "purchase purchased buy bought transaction order ordered checkout sale sold paid conversion kauf "
            "bestellung complete completed"
        ),
        c.PURCHASE,
    ),
    **dict.fromkeys(_words("return returned refund refunded retoure storno cancel cancelled chargeback"), c.RETURN),
    **dict.fromkeys(_words("rating rate rated review"), c.RATING),
}
_ENDINGS = ("nummer", "number", "name", "code", "id", "no", "nr", "key")  # of names without a separator


_OWN = USERS | ITEMS | ORDERS | QUANTITIES | PRICES | RATINGS | MONEY | TITLES  # visitor is no form of visit


def tokens_of(name: str) -> tuple[str, ...]:
    """The words of a column's name, in small letters: `orderID`, `order_id` and `Order ID` are order and id."""
    parted = re.sub(r"([a-zà-ÿ0-9])([A-Z])", r"\1 \2", name)
    parted = re.sub(r"([A-Z]+)([A-Z][a-z])", r"\1 \2", parted)
    return tuple(word.lower() for word in re.split(r"[\W_]+", parted) if word)


def words_of(name: str) -> tuple[str, ...]:
    """The words of a column's name. `visitorid` is visitor and id."""
    return tuple(part for word in tokens_of(name) for part in _part(word))


def _part(word: str) -> tuple[str, ...]:
    for ending in _ENDINGS:
        beginning = word.removesuffix(ending)
        if beginning != word and beginning in _OWN:
            return beginning, ending
    return (word,)


def names_any(words: Iterable[str], vocabulary: Collection[str]) -> bool:
    """Whether one of the words is in a vocabulary, also with an ending: orders and klienta are order and klient."""
    return any(word in vocabulary or any(_is_inflected(word, stem) for stem in vocabulary) for word in words)


def _is_inflected(word: str, stem: str) -> bool:
    return (
        word not in _OWN
        and len(stem) >= SHORTEST_STEM
        and 0 < len(word) - len(stem) <= LONGEST_ENDING
        and word.startswith(stem)
    )


def event_of(word: str) -> str | None:
    """The type of event that a word of a source means. None where it is not known."""
    plain = re.sub(r"[^a-z]+", "_", word.lower()).strip("_")
    if found := EVENT_WORDS.get(plain) or EVENT_WORDS.get(plain.replace("_", "")):
        return found
    first, *others = plain.split("_")  # such as view_item and product_viewed
    if {"cart", "basket", "checkout", "wishlist"} & {first, *others}:
        return c.CART
    known = {EVENT_WORDS[each] for each in (first, *others) if each in EVENT_WORDS}
    return known.pop() if others and len(known) == 1 else None


def describes_the_row(words: Sequence[str]) -> bool:
    """Whether a time of this name is a property of a row, such as a birthday, and not when something happened."""
    return any(word in OF_THE_ROW or word.endswith(("beginn", "geburt", "geburtsdatum", "birth", "birthday")) for word in words)


def is_time_named(name: str) -> bool:
    """Whether a column is named as one of times."""
    words = tokens_of(name)
    return bool(TIMES & set(words)) or any(word.endswith(("time", "date", "timestamp", "datum")) for word in words)


# Words for yes and no. Those of the first pair are booleans in any spelling, those of others are two words of one language.
YES_AND_NO: tuple[tuple[tuple[str, ...], tuple[str, ...]], ...] = (
    (TRUE, FALSE),
    *((("ja",), (no,)) for no in ("nein", "nee", "nej", "nei")),
    (("oui",), ("non",)),
    *(((yes,), ("no",)) for yes in ("si", "sí", "sì")),
    *((("sim",), (no,)) for no in ("não", "nao")),
    (("tak",), ("nie",)),
    (("ano",), ("ne",)),
    (("evet",), ("hayır",)),  # noqa: RUF001  # Turkish
    (("да",), ("нет",)),
    (("はい",), ("いいえ",)),
    (("是",), ("否",)),
)
