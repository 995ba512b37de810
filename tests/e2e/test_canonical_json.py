"""Canonical JSON beside another implementation: a few thousand random values, the same every time."""

import json
import os
import random
import subprocess

import canonicaljson

from myelin import BUILD

LIMIT = 2 ** 53 - 1
LETTERS = ["a", "b", "Z", "_", ".", "~", "\x7f", "\x00", "\x01", "\x1f", "\n", "\t", "\b", "\f", "\r", '"', "\\", "/", "é", "日",
           "\u2028", "\ufeff", "\uffff", "\ud7ff", "\ue000", "\U0001f600", "\U0010ffff"]


def text(rng, letters=LETTERS):
    return "".join(rng.choice(letters) for _ in range(rng.randrange(12)))


def number(rng, strict):
    kind = rng.randrange({True: 4, False: 7, "old": 8}[strict])
    if kind < 2:
        return rng.randrange(-100, 100)
    if kind < 4:
        return rng.choice([LIMIT, -LIMIT, rng.randrange(-LIMIT, LIMIT)])
    if kind == 4:
        return rng.choice([2 ** 53, -2 ** 53, 2 ** 63 - 1, -2 ** 63])
    if kind == 5:
        return rng.choice([0.5, -0.0, 1.0, 1e15, 1e16, 1e22, 1e-4, 1e-5, 1.5e300, 5e-324, 0.1, 2 / 3])
    if kind == 6:
        return rng.uniform(-1, 1) * 10.0 ** rng.randrange(-30, 30)
    return rng.choice([2 ** 63, -2 ** 63 - 1, rng.randrange(-10 ** 40, 10 ** 40), 10 ** 400])


def value(rng, strict, depth=0):
    kind = rng.randrange(9 if depth < 5 else 6)
    if kind < 2:
        return text(rng)
    if kind < 5:
        return number(rng, strict)
    if kind == 5:
        return rng.choice([None, True, False])
    if kind == 6:
        return [value(rng, strict, depth + 1) for _ in range(rng.randrange(5))]
    # NUL in a key is refused: no implementation in C could be asked for it.
    return {text(rng, [c for c in LETTERS if c != "\x00"]): value(rng, strict, depth + 1) for _ in range(rng.randrange(8))}


def written(rng, v):
    return json.dumps(v, ensure_ascii=rng.random() < 0.5, separators=rng.choice([(",", ":"), (" , ", " : "), (",\t", ":\r")]))


def canonical(mode, lines):
    done = subprocess.run([os.path.join(BUILD, "tests", "e2e", "canonical"), mode], input="\n".join(lines).encode() + b"\n",
                          capture_output=True, timeout=120)
    assert done.returncode == 0, done.stderr
    answers = done.stdout.split(b"\n")
    assert answers.pop() == b"" and len(answers) == len(lines)
    return answers


def compare(mode, seed, count):
    rng = random.Random(seed)
    values = [value(rng, mode == "strict") for _ in range(count)]
    lines = [written(rng, v) for v in values]
    for v, line, answer in zip(values, lines, canonical(mode, lines)):
        assert answer == canonicaljson.encode_canonical_json(v), line


def test_strict_values_are_encoded_alike():
    compare("strict", 6, 3000)


def test_values_of_old_rooms_are_encoded_alike():
    compare("loose", 1, 3000)


def test_integers_of_any_size_are_carried_in_old_rooms():
    rng = random.Random(5)
    values = [{"x": value(rng, "old"), "y": value(rng, "old"), "": value(rng, "old")} for _ in range(3000)]
    lines = [written(rng, v) for v in values]
    for v, line, answer in zip(values, lines, canonical("old", lines)):
        assert answer == canonicaljson.encode_canonical_json(v), line


def test_what_is_canonical_stays():
    rng = random.Random(12)
    lines = [canonicaljson.encode_canonical_json(value(rng, True)) for _ in range(1000)]
    assert canonical("strict", [line.decode() for line in lines]) == lines


def test_numbers_beyond_the_range_are_refused():
    lines = ["9007199254740992", "-9007199254740992", "[1.5]", '{"a":{"b":-0.1}}', "1e16", "[9223372036854775808]"]
    assert canonical("strict", lines) == [b"refused"] * len(lines)
    # The specification's example: an exponent does not make it another number.
    assert canonical("strict", ['{"a":-0,"b":1e10}']) == [b'{"a":0,"b":10000000000}']
