"""Values on their way into statements."""

from __future__ import annotations

from espm.ledger import rows


def test_lists_come_in_few_lengths_and_say_the_same() -> None:
    """Each length is a statement that databases and drivers keep."""
    lists = [list(range(length)) for length in range(1, 51)]

    padded = [rows.padded(each) for each in lists]

    assert {len(each) for each in padded} == {1, 2, 4, 8, 16, 32, 64}
    assert [set(each) for each in padded] == [set(each) for each in lists]
    assert rows.padded([]) == []
