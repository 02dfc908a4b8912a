"""Trees of tensors."""

import numpy as np

from engine.ir.structure import build, flatten, transform


def test_a_tree_comes_back_as_it_was() -> None:
    one, two, three = (np.full(2, n) for n in range(3))
    tree = {"a": one, "b": [two, (three, None, "text", 3)], "c": {}}
    leaves, names, form = flatten(tree, name="tree")
    assert names == ["tree.a", "tree.b.0", "tree.b.1.0"]
    assert [id(leaf) for leaf in leaves] == [id(one), id(two), id(three)]
    assert build(form, iter(leaves)) == tree


def test_equal_trees_have_equal_forms() -> None:
    forms = [flatten({"a": np.zeros(n), "b": (np.zeros(2),)})[2] for n in (1, 2)]
    assert forms[0] == forms[1]
    assert hash(forms[0]) == hash(forms[1])
    assert forms[0] != flatten({"b": np.zeros(1), "a": (np.zeros(2),)})[2]


def test_leaves_can_be_changed_in_place_of_themselves() -> None:
    assert transform([np.zeros(2), {"x": np.zeros(3)}], lambda a: a.shape) == [(2,), {"x": (3,)}]
