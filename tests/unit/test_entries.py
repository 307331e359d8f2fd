"""Entries: a mapping that is packed, against a dictionary."""

from hypothesis import given, settings
from hypothesis import strategies as st

from triggers.entries import LARGEST_PACK, Entries

NAMES = st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=6)
KEYS = st.lists(NAMES, min_size=1, max_size=3).map("/".join)
TEXTS = st.text("0123456789abcdef -", max_size=12)
CHANGES = st.lists(st.tuples(KEYS, st.none() | TEXTS), max_size=60)


@settings(max_examples=150, deadline=None)
@given(CHANGES)
def test_it_is_a_dictionary(changes):
    packed, plain = Entries(), {}
    for key, text in changes:
        if text is None:
            packed.drop(key)
            plain.pop(key, None)
        else:
            packed.put(key, text)
            plain[key] = text
        assert packed.get(key) == plain.get(key)
    assert dict(packed.items()) == plain
    assert len(packed) == len(plain)
    assert {key: packed.get(key) for key in plain} == plain
    directories = {key.rpartition("/")[0] for key in plain}
    assert set(packed.directories()) == directories
    for directory in directories:
        inside = {key.rpartition("/")[2]: text for key, text in plain.items() if key.rpartition("/")[0] == directory}
        assert dict(packed.items_in(directory)) == inside


def test_a_name_that_looks_like_an_entry_or_a_part_of_a_name_is_not_mistaken_for_it():
    packed = Entries()
    packed.extend({"a": "5 6 7", "5 6 7": "1", "aa": "2", "b\nc": "3", "b": "4"})
    assert [packed.get(key) for key in ("a", "5 6 7", "aa", "b\nc", "b", "6", "c")] == ["5 6 7", "1", "2", "3", "4", None, None]


def test_a_large_directory_is_kept_in_many_packs():
    plain = {f"d/name-{number}": f"{number:x} 18000000{number:x} {number:x}" for number in range(20_000)}
    packed = Entries()
    packed.extend(plain)
    assert dict(packed.items()) == plain
    sizes = [len(pack) for pack in packed._directories["d"]]
    assert max(sizes) <= LARGEST_PACK
    assert min(sizes) > 0
    for key in list(plain)[::2]:
        packed.drop(key)
        del plain[key]
    assert dict(packed.items()) == plain


def test_a_million_entries_would_take_less_than_a_hundred_megabytes():
    keys = [f"{directory:03}/photograph-{number:05}.jpg" for directory in range(20) for number in range(1000)]
    packed = Entries()
    packed.extend(dict.fromkeys(keys, "0 18a5c8e2f1b3c4d1 1f3a2b"))
    used = sum(len(pack) + 33 for packs in packed._directories.values() for pack in packs)
    assert used / len(keys) < 100
