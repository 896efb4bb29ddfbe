import difflib

import pytest

from studies.aliases import ALIASES
from studies.configuration import leaf_name
from studies.errors import close_matches
from studies.schema import factor_keys
from studies.vocabulary import VOCABULARIES

KEYS = factor_keys()
OURS = [KEYS, list(map(leaf_name, KEYS)), *map(list, VOCABULARIES.values())]


@pytest.mark.parametrize("alias", ALIASES)
def test_an_alias_leads_where_likeness_does_not(alias):
    misled = False
    for names in OURS:
        for ours in (name for name in names if leaf_name(name) == ALIASES[alias]):
            written = ours.removesuffix(ALIASES[alias]) + alias
            assert written not in names
            assert close_matches(written, names).startswith(f"did you mean {ours!r}")
            misled |= difflib.get_close_matches(written, names, 3, 0.5) != [ours]
    assert misled
