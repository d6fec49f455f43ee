"""YAML as the inventory reads it: lines, YAML 1.2 scalars, and files made to hurt."""

import pytest

from otel_cx_collector.errors import InventoryError, Problem
from otel_cx_collector.inventory import parse
from otel_cx_collector.inventory.tree import MAX_BYTES, MAX_DEPTH, MAX_NODES, Node, read


def tree(text: str) -> Node:
    root, problems = read(text, "cx.yaml")
    assert problems == []
    assert root is not None
    return root


def refused(text: str) -> Problem:
    root, problems = read(text, "cx.yaml")
    assert root is None
    return problems[-1]


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("1", 1),
        ("-7", -7),
        ("0x1f", 31),
        ("0o17", 15),
        ("1.5", 1.5),
        ("1e3", 1000.0),
        (".5", 0.5),
        ("true", True),
        ("False", False),
        ("~", None),
        ("null", None),
        ("-.inf", float("-inf")),
        ("99.9%", "99.9%"),
        ("30d", "30d"),
        ('"1"', "1"),
        ("'true'", "true"),
        ("no", "no"),
        ("off", "off"),
        ("12:30", "12:30"),
        ("1_000", "1_000"),
        ("2026-01-05T02:00:00Z", "2026-01-05T02:00:00Z"),
        ("=", "="),
        ("!!str 5", "5"),
        ("9" * 5000, "9" * 5000),
    ],
)
def test_scalars_are_read_by_the_core_schema_of_yaml_1_2(written: str, meant: object) -> None:
    value = tree(f"key: {written}").data()["key"]

    assert value == meant
    assert type(value) is type(meant)


def test_every_key_and_entry_knows_its_line() -> None:
    root = tree("a:\n  b: 1\n\n  c:\n    - x\n    - {d: 2,\n       e: 3}\n")

    def line(*path: str | int) -> int:
        node, found = root, 0
        for key in path:
            child = node.child(key)
            assert child is not None
            found, node = child
        return found

    assert (line("a"), line("a", "b"), line("a", "c"), line("a", "c", 0)) == (1, 2, 4, 5)
    assert (line("a", "c", 1), line("a", "c", 1, "d"), line("a", "c", 1, "e")) == (6, 6, 7)


def test_an_alias_stands_on_its_own_line_and_what_it_holds_on_the_anchor_s() -> None:
    root = tree("a: &a\n  x: 1\nb:\n  - *a\n")
    b = root.entries["b"][1]

    assert b.items[0].line == 4
    assert b.items[0].entries["x"][0] == 2


def test_a_merge_gives_way_to_the_mapping_s_own_keys_wherever_they_stand() -> None:
    text = "a: &a {x: 1, y: 1}\nb: &b {y: 2, z: 2}\nc: {x: 0, <<: [*a, *b], w: 0}\n"

    assert tree(text).data()["c"] == {"x": 0, "w": 0, "y": 1, "z": 2}


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        ("a: {", 1, "not YAML"),
        ("a: b: c", 1, "mapping values are not allowed here"),
        ("a: 1\n\tb: 2", 2, "not YAML"),
        ("a: 'x", 1, "not YAML"),
        ("a: 1\n b: 2", 2, "not YAML"),
        ("- a\nb: 1", 2, "not YAML"),
        ("a: *x", 1, "*x refers to no anchor before it"),
        ("a: &a [*a]", 1, "*a refers to the value it stands in"),
        ("a: 1\n---\nb: 2", 2, "a second document begins here"),
        ("a: !!python/object/apply:os.system [ls]", 1, "is not read here"),
        ("a: !!binary aGk=", 1, "is not read here"),
        ("? [a, b]\n: 1", 1, "a list stands where a key is due"),
        ("a: 1\nb: \x07", 2, "the character U+0007 is not allowed"),
        ("%YAML 3.0\n---\na: 1", 1, "not YAML"),
    ],
)
def test_what_is_not_yaml_is_told_with_its_line(text: str, line: int, says: str) -> None:
    problem = refused(text)

    assert (problem.line, says in problem.what) == (line, True), problem


def test_a_key_that_is_there_twice_is_told_with_both_lines() -> None:
    with pytest.raises(InventoryError) as caught:
        parse("journeys:\n  a: {steps: [b]}\n  c: {steps: [d]}\n  a: {steps: [e]}\n")

    assert [str(each) for each in caught.value.problems] == [
        'cx.yaml:4: the key "a" stands here again (first on line 2); remove one of them'
    ]


def test_a_key_that_is_no_text_is_told_with_the_quotes_it_needs() -> None:
    with pytest.raises(InventoryError) as caught:
        parse("dimensions: {plan: {2024: 1}}\njourneys: {a: {steps: [b]}}")

    assert [str(each) for each in caught.value.problems] == [
        'cx.yaml:1: the key 2024 is not text; write it in quotes, "2024"'
    ]


def test_a_key_that_is_not_there_is_told() -> None:
    with pytest.raises(InventoryError, match=r"cx.yaml:2: nothing stands before the colon; write a name there"):
        parse("journeys: {a: {steps: [b]}}\n: x")


@pytest.mark.parametrize("text", ["", "\n\n", "# only a comment\n", "---\n", "null", "~"])
def test_an_empty_file_is_told_what_to_begin_with(text: str) -> None:
    with pytest.raises(InventoryError, match="the file is empty; begin with journeys:"):
        parse(text)


@pytest.mark.parametrize(
    ("text", "what"), [("[a, b]", "a list"), ("checkout", "a single value"), ("5", "a single value")]
)
def test_a_file_that_is_no_mapping_is_told_what_to_begin_with(text: str, what: str) -> None:
    with pytest.raises(InventoryError, match=f"the file holds {what}; begin with journeys:"):
        parse(text)


def test_a_file_that_multiplies_itself_is_refused_before_it_grows() -> None:
    lines = ["l0: &l0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 10)}]" for n in range(1, 20)]

    assert f"more than {MAX_NODES} keys and values" in refused("\n".join(lines)).what


def test_a_chain_of_aliases_cannot_nest_deeper_than_the_limit() -> None:
    lines = ["l0: &l0 [x]", *(f"l{n}: &l{n} [*l{n - 1}]" for n in range(1, 200))]

    assert f"nested deeper than {MAX_DEPTH} levels" in refused("\n".join(lines)).what


@pytest.mark.parametrize(
    "text", ["[" * 100_000, "{a: " * 100_000, "- " * 100_000, "\n".join(" " * n + "a:" for n in range(900))]
)
def test_a_file_nested_without_end_is_refused_at_the_limit(text: str) -> None:
    assert f"nested deeper than {MAX_DEPTH} levels" in refused(text).what


def test_a_file_of_many_values_is_refused_at_the_limit() -> None:
    text = "a: [" + "1," * (MAX_NODES + 1) + "]"

    assert f"more than {MAX_NODES} keys and values" in refused(text).what


def test_a_file_of_many_bytes_is_refused_before_it_is_parsed() -> None:
    problem = refused("é" * (MAX_BYTES // 2 + 1))

    assert problem == Problem("cx.yaml", 0, f"the file is larger than {MAX_BYTES} bytes", "drop what is not used")
