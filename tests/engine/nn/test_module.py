"""The module tree: names, modes, numbers, states and words."""

import copy
import subprocess
import sys
from collections.abc import Callable

import numpy as np
import pytest

from engine.errors import AxisError, DeviceError, ShapeError, StateError
from engine.ir.trace import abstract, trace
from engine.nn import Buffer, Linear, Module, ModuleDict, ModuleList, Parameter, Sequential, init
from engine.nn.module import scope, set_buffer
from engine.tensor import Tensor


class Leaf(Module):
    def __init__(self, rows: int = 2) -> None:
        self.weight = Parameter((rows, 3), init.normal())
        self.count = Buffer((), init.zeros, dtype="int64")
        self.scratch = Buffer((2,), init.ones, persistent=False)
        self.seen: list[str] = []

    def forward(self, x: Tensor) -> Tensor:
        self.seen.append(scope.get())
        return x


class Tree(Module):
    def __init__(self) -> None:
        self.scale = Parameter((1,), init.ones)
        self.left = Leaf()
        self.many = ModuleList([Leaf(3), Leaf(4)])
        self.named = ModuleDict({"a": Leaf(5)})

    def forward(self, x: Tensor) -> Tensor:
        x = self.left(x)
        for module in self.many:
            x = module(x)
        return self.named["a"](x)


def ones() -> Tensor:
    return Tensor(np.ones((2, 3), np.float32))


def test_parameters_are_found_by_dotted_names_in_order() -> None:
    assert [name for name, _ in Tree().named_parameters()] == [
        "scale",
        "left.weight",
        "many.0.weight",
        "many.1.weight",
        "named.a.weight",
    ]


def test_buffers_and_modules_are_found_too() -> None:
    tree = Tree()
    assert [name for name, _ in tree.named_modules()] == [
        "", "left", "many", "many.0", "many.1", "named", "named.a",
    ]  # fmt: skip
    assert "many.1.count" in dict(tree.named_buffers())
    assert len(list(tree.buffers())) == 8


def test_a_shared_parameter_comes_once_by_its_first_name() -> None:
    tree = Tree()
    tree.left.weight = tree.many[0].weight
    names = [name for name, _ in tree.named_parameters()]
    assert "left.weight" in names
    assert "many.0.weight" not in names
    assert tree.num_parameters() == 1 + 9 + 12 + 15


def test_a_module_in_a_circle_comes_once() -> None:
    tree = Tree()
    tree.left.above = tree
    assert len(list(tree.named_modules())) == 7


@pytest.mark.parametrize(
    "value", [[Leaf()], (Leaf(),), {"a": Leaf()}, [Parameter((1,), init.ones)]], ids=repr
)
def test_modules_hidden_in_plain_lists_are_refused(value: object) -> None:
    with pytest.raises(StateError, match="which the module cannot see"):
        Tree().hidden = value


def test_modes_reach_every_module() -> None:
    tree = Tree()
    assert all(not module.training for module in tree.eval().modules())
    assert all(module.training for module in tree.train().modules())


def test_frozen_parameters_are_counted_apart() -> None:
    tree = Tree()
    tree.freeze("many.*")
    assert [n for n, p in tree.named_parameters() if not p.requires_grad] == [
        "many.0.weight",
        "many.1.weight",
    ]
    assert tree.num_parameters(trainable=True) == tree.num_parameters() - 21
    assert tree.unfreeze().num_parameters(trainable=True) == tree.num_parameters()


def test_freezing_what_is_not_there_is_refused() -> None:
    with pytest.raises(StateError, match=r"no parameter is called like 'right\.\*'"):
        Tree().freeze("right.*")


def test_building_allocates_nothing() -> None:
    model = Sequential(Linear(2**20, 2**20), Linear(2**20, 2**20))
    assert model.num_parameters() == 2 * (2**40 + 2**20)
    assert not any(p.is_initialised for p in model.parameters())


USES: list[Callable[[Linear], object]] = [
    lambda layer: layer(ones()),
    lambda layer: ones() * layer.weight,
    lambda layer: layer.weight + 1,
    lambda layer: layer.weight[0],
    lambda layer: layer.weight.numpy(),
    lambda layer: layer.state_dict(),
]


@pytest.mark.parametrize("number", range(len(USES)))
def test_using_a_parameter_before_init_says_what_to_do(number: int) -> None:
    with pytest.raises(StateError, match=r"no numbers yet; call init"):
        USES[number](Linear(3, 2))


def test_shapes_are_known_before_init() -> None:
    model = Sequential(Linear(3, 4), Linear(4, 5))
    assert str(abstract(model, ones().type)) == "float32[2, 5]"


def test_numbers_depend_on_seed_and_name_alone() -> None:
    class Turned(Module):
        def __init__(self) -> None:
            self.named = ModuleDict({"a": Leaf(5)})
            self.left = Leaf()

    first, second = Tree().init(3), Turned().init(3)
    np.testing.assert_array_equal(first.left.weight.data, second.left.weight.data)
    np.testing.assert_array_equal(first.named["a"].weight.data, second.named["a"].weight.data)
    assert not np.array_equal(Tree().init(4).left.weight.data, first.left.weight.data)
    assert not np.array_equal(first.many[0].weight.data[:2], first.left.weight.data)


def test_numbers_are_the_same_in_another_process() -> None:
    script = (
        "from engine.nn import Linear\n"
        "print(Linear(3, 2).init(7).weight.data.tobytes().hex(), end='')"
    )
    told = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60
    )
    assert told.stdout == Linear(3, 2).init(7).weight.data.tobytes().hex()


def test_init_again_starts_afresh() -> None:
    tree = Tree().init(0)
    before = tree.state_dict()
    tree.left.weight.data += 1.0
    tree.left.count.data[...] = 9
    tree.init(0)
    for name, array in tree.state_dict().items():
        np.testing.assert_array_equal(array, before[name])


def test_a_state_comes_back() -> None:
    source, target = Tree().init(1), Tree()
    source.left.count.data[...] = 5
    state = source.state_dict()
    assert "left.scratch" not in state
    target.load_state_dict(state)
    for name, array in target.state_dict().items():
        assert array.dtype == state[name].dtype
        np.testing.assert_array_equal(array, state[name])


def test_a_state_is_a_copy_unless_asked() -> None:
    tree = Tree().init()
    copied, shared = tree.state_dict(), tree.state_dict(copy=False)
    tree.scale.data[...] = 8.0
    assert copied["scale"][0] == 1.0
    assert shared["scale"][0] == 8.0


def test_loading_keeps_the_memory_that_a_compiled_step_knows() -> None:
    tree = Tree().init(0)
    memory = tree.left.weight.data
    tree.load_state_dict(Tree().init(1).state_dict())
    assert tree.left.weight.data is memory


def test_every_entry_that_does_not_fit_is_named_at_once() -> None:
    tree = Tree().init()
    state = tree.state_dict()
    before = tree.state_dict()
    del state["left.weight"], state["many.0.count"]
    state |= {"extra": np.ones(1), "scale": np.ones((1, 1)), "left.count": np.array(1.5)}
    with pytest.raises(StateError) as refused:
        tree.load_state_dict(state)
    told = str(refused.value)
    for line in (
        "the state does not fit Tree:",
        "missing: left.weight (float32[2, 3])",
        "missing: many.0.count (int64[])",
        "extra: extra",
        "misshapen: scale is [1, 1], expected [1]",
        "mistyped: left.count is float64, expected int64",
    ):
        assert line in told
    for name, array in tree.state_dict().items():
        np.testing.assert_array_equal(array, before[name])


def test_a_state_may_be_partial_where_asked() -> None:
    tree = Tree().init()
    tree.load_state_dict({"scale": np.array([4.0]), "unknown": np.ones(2)}, strict=False)
    assert tree.scale.data[0] == 4.0
    with pytest.raises(StateError, match="misshapen"):
        tree.load_state_dict({"scale": np.ones(2)}, strict=False)


def test_floats_change_their_dtype_and_integers_stay() -> None:
    for tree in (Tree().to("float64").init(), Tree().init().to("float64")):
        assert tree.left.weight.data.dtype == np.float64
        assert tree.left.count.data.dtype == np.int64


def test_a_module_knows_its_path_while_it_runs() -> None:
    tree = Tree()
    tree(ones())
    assert tree.left.seen == ["left"]
    assert tree.many[1].seen == ["many.1"]
    assert tree.named["a"].seen == ["named.a"]
    assert scope.get() == ""


def test_paths_follow_a_tree_that_changes() -> None:
    tree = Tree()
    tree(ones())
    tree.many.append(Leaf())
    tree(ones())
    assert tree.many[2].seen == ["many.2"]


def test_a_copy_is_a_module_of_its_own() -> None:
    tree = Tree().init()
    tree(ones())
    twin = copy.deepcopy(tree)
    twin.left.seen.clear()
    twin(ones())
    assert twin.left.seen == ["left"]
    twin.scale.data[...] = 9.0
    assert tree.scale.data[0] == 1.0
    assert not copy.deepcopy(Tree()).scale.is_initialised


def test_a_module_moves_to_the_device_it_is_on_and_no_other() -> None:
    tree = Tree().init()
    memory = tree.scale.data
    assert tree.to("cpu").scale.data is memory
    with pytest.raises(DeviceError, match="cuda:99"):
        tree.to("cuda:99")


def test_nodes_of_a_trace_remember_the_path() -> None:
    model = Sequential(Linear(3, 4), Sequential(Linear(4, 5)))
    graph = trace(model, ones().type)
    assert [node.origin.scope for node in graph.nodes] == ["0", "1.0"]


def test_an_error_says_where_in_the_tree_it_was() -> None:
    model = Sequential(Linear(3, 4), Sequential(Linear(5, 5)))
    told = r"1\.0 \(Linear\): expected \[\.\.\., 5\], got float32\[2, 4\]"
    with pytest.raises(ShapeError, match=told):
        abstract(model, ones().type)
    assert scope.get() == ""


class Add1(Module):
    def __init__(self, rows: int) -> None:
        self.weight = Parameter((rows,), init.ones)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.weight


def test_an_error_of_an_operation_gets_a_note_with_the_layer() -> None:
    with pytest.raises(ShapeError) as refused:
        Sequential(Linear(3, 4), Add1(7)).init()(ones())
    assert refused.value.__notes__ == ["in 1 (Add1)"]


class Counter(Module):
    def __init__(self) -> None:
        self.total = Buffer((), init.zeros)

    def forward(self, x: Tensor) -> Tensor:
        set_buffer(self.total, self.total + x.sum())
        return x


def test_a_buffer_is_updated_in_place_when_eager_and_by_symbol_when_traced() -> None:
    counter = Counter().init()
    memory = counter.total.data
    counter(ones())
    counter(ones())
    assert counter.total.data is memory
    assert float(memory) == 12.0
    graph = trace(counter, ones().type)
    assert len(graph.updates) == 1
    assert counter.total.data is memory


def test_a_tree_can_be_read() -> None:
    model = Sequential({"body": Sequential(Linear(3, 4)), "head": Linear(4, 5, bias=False)})
    assert repr(model) == (
        "Sequential(\n"
        "  (body): Sequential(\n"
        "    (0): Linear(in_features=3, out_features=4)\n"
        "  )\n"
        "  (head): Linear(in_features=4, out_features=5, bias=False)\n"
        ")"
    )


def test_lists_and_dictionaries_of_modules_behave_like_theirs() -> None:
    many = ModuleList([Leaf()]).extend([Leaf(3), Leaf(4)])
    assert len(many) == 3
    assert many[-1] is list(many)[2]
    many[0] = other = Leaf(9)
    assert many[0] is other
    with pytest.raises(AxisError, match="has 3 modules, not a number 3"):
        many[3]
    named = ModuleDict({"a": Leaf()})
    named["b"] = Leaf()
    assert list(named) == list(named.keys()) == ["a", "b"]
    assert "b" in named
    assert [name for name, _ in named.items()] == ["a", "b"]
    assert len(list(named.values())) == 2
    with pytest.raises(StateError, match="no module is called 'c'; there are a, b"):
        named["c"]


@pytest.mark.parametrize("name", ["a.b", "", 3])
def test_names_that_would_break_dotted_names_are_refused(name: object) -> None:
    with pytest.raises(StateError, match="name without dots"):
        ModuleDict({name: Leaf()})  # type: ignore[dict-item]


def test_only_modules_go_into_containers() -> None:
    with pytest.raises(StateError, match="holds modules, '1' is a int"):
        Sequential(Linear(1, 1), 3)  # type: ignore[arg-type]


def test_a_module_named_like_a_method_does_no_harm() -> None:
    named = ModuleDict({"init": Linear(1, 1), "train": Linear(1, 1)}).init()
    assert set(named.state_dict()) == {"init.weight", "init.bias", "train.weight", "train.bias"}


def test_a_module_without_forward_says_so() -> None:
    with pytest.raises(NotImplementedError, match="ModuleList has no forward"):
        ModuleList()(1)
