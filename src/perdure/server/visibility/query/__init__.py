"""The query language of lists: text to a syntax tree (`parser`), to a typed tree (`binding`), to
parameterised SQL (`sql`) or to an answer for one run (`evaluate`, the oracle of the others).

What a user wrote never becomes part of an SQL statement: names are looked up in tables, values are
parameters.
"""

from __future__ import annotations
