"""The only place where column names are spelt.

Canonical columns are what every source is turned into at ingestion. Interactions (who bought, watched or rated what)
share one schema whatever their format; tabular rows keep the names of their own feature columns.
"""

# What names of helper columns begin with in frames that hold columns of the user too. No column of the user begins with it.
OWN = "titleholder_"

# every row of every layer
ROW_ID = "row_id"  # string, "<source file>:<row number>", unique within a snapshot
SOURCE_FILE = "source_file"  # string, what is delivered as a whole: a file's name, or <file>@<day> where it holds many days
EVENT_AT = "event_at"  # timestamp, UTC: when it happened
INGESTED_AT = "ingested_at"  # timestamp, UTC: when the pipeline could know of it
AS_IT_CAME = "as_it_came"  # string, the row as JSON, untouched: what quarantine shows and a replay parses again
# string, of raw rows alone: the columns of the source whose cell was full and was not what it is stated to be, as JSON texts
# joined by a comma; null where there is none
LOST_CELLS = "titleholder_lost_cells"

# interactions
EVENT_ID = "event_id"  # string, the invoice or basket; of tabular rows their own name, where the source has one
LINE_ID = "line_id"  # string or null, the line of the invoice, where the source has one and an item can be on several lines
EVENT_TYPE = "event_type"  # string, one of EVENT_TYPES
USER_ID = "user_id"  # string or null (an anonymous sale)
ITEM_ID = "item_id"  # string
ITEM_TEXT = "item_text"  # string or null
QUANTITY = "quantity"  # double, pieces; negative for a return
UNIT_PRICE = "unit_price"  # double, the source's currency
VALUE = "value"  # double, amount of money for purchases and returns, the rating for ratings
SEGMENT = "segment"  # string or null, e.g. the customer's country
# string or null: further attributes of a user or an item, as a JSON object of numbers; an attribute that is missing is 0. Text,
# because Spark can sort text but not maps, and because sources have different attributes.
USER_ATTRIBUTES, ITEM_ATTRIBUTES = "user_attributes", "item_attributes"

PURCHASE, RETURN, RATING = "purchase", "return", "rating"
VIEW = "view"  # the user looked
CART = "cart"  # the user put it into the basket
OTHER = "other"  # what is none of these, such as a step of a payment
RECOMMENDED = "recommended"  # the endpoint showed it
EVENT_TYPES = (PURCHASE, RETURN, RATING, VIEW, CART, OTHER, RECOMMENDED)
NO_CHOICES = (VIEW, CART, OTHER, RECOMMENDED)  # kept and validated, and in no feature and no label: the user chose nothing

INTERACTION_COLUMNS = (
    ROW_ID,
    SOURCE_FILE,
    EVENT_AT,
    INGESTED_AT,
    AS_IT_CAME,
    EVENT_ID,
    EVENT_TYPE,
    USER_ID,
    ITEM_ID,
    ITEM_TEXT,
    QUANTITY,
    UNIT_PRICE,
    VALUE,
    SEGMENT,
    USER_ATTRIBUTES,
    ITEM_ATTRIBUTES,
    LINE_ID,
)

# tabular
PREDICTED_CLASS = "predicted_class"  # 0 or 1, by the threshold of the model
TARGET = "target"  # long, 0 or 1 (1 is the class that is looked for), null where it is not known yet
# Of examples alone, by the split's kind: what tuning and calibration cut their folds by, as the split cut its parts.
SPLIT_ORDER = "split_order"  # long, ascending: the moment in microseconds, or the place in the files
SPLIT_GROUP = "split_group"  # string: rows of one group are never on two sides
TABULAR_COLUMNS = (  # and the feature columns
    ROW_ID,
    SOURCE_FILE,
    EVENT_AT,
    INGESTED_AT,
    AS_IT_CAME,
    LOST_CELLS,
    TARGET,
    SPLIT_ORDER,
    SPLIT_GROUP,
)

PART = f"{OWN}part"  # string, the part of the split that a row is in, until each part is written

# Columns that rules of a suite may name beside those of the rows. Each is computed where a rule names it.
DUPLICATE_NUMBER = "duplicate_number"  # long, 1 for the first of equal rows of a file
SIGN_AGREES = "sign_agrees"  # boolean or null, whether a purchase has a positive and a return a negative quantity
MISSING_FEATURES = "missing_features"  # long, number of features of a tabular row that are null or not finite
LEAST_FEATURE = "least_feature"  # double, the smallest feature of a tabular row
DAYS_BEFORE_END = "days_before_end"  # long, local days from the event's day to the window's end: 1 on its last day
PRICE_BAND = "price_band"  # string, the unit price rounded down to a power of two: "4.0" for 4 to 7.99
# boolean, whether an identical row is in a file of the past; not where a correction of its order replaced it since then
DELIVERED_BEFORE = "delivered_before"
RETURNED_ITEM_WAS_SOLD = (
    "returned_item_was_sold"  # boolean, null unless a return: whether the item was sold here or in the past
)
COMPUTED_COLUMNS = (
    DUPLICATE_NUMBER,
    SIGN_AGREES,
    MISSING_FEATURES,
    LEAST_FEATURE,
    DAYS_BEFORE_END,
    PRICE_BAND,
    DELIVERED_BEFORE,
    RETURNED_ITEM_WAS_SOLD,
)

# quarantine
BROKEN_RULES = "broken_rules"  # string, names of all rules that the row broke, joined by ", "


# feature tables: one column per attribute, with these prefixes; double, null where no attribute is known
USER_ATTRIBUTE, ITEM_ATTRIBUTE = "user_attribute_", "item_attribute_"

# examples and predictions
LABEL = "label"  # double: 1.0 where the user bought the item in the label window; the rating; or the class
PREDICTION = "prediction"  # double: a rating, or the probability of the label
RANK = "rank"  # long, from 1
RAW_SCORE = "raw_score"  # double, the model's own score, comparable within one user only

# tables of one snapshot
UNITS = "units"  # the table of an evaluation with one row for each user, or for each row of a table
# Tables of an evaluation: the users by whom probabilities are judged, where they are others, and their predictions.
PROBABILITY_UNITS, PROBABILITIES = "probability_units", "probabilities"
ROWS = "rows"  # the only table of raw, validated, quarantine; the table of tabular features and examples
USERS, ITEMS, PAIRS, LABELS = "users", "items", "pairs", "labels"  # tables of interaction features and examples

# layers of storage
RAW, VALIDATED, QUARANTINE, FEATURES, EXAMPLES, EVALUATION, PREDICTIONS = (
    "raw",
    "validated",
    "quarantine",
    "features",
    "examples",
    "evaluation",
    "predictions",
)
