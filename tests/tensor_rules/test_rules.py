import numpy as np
import pytest

from maskformer_jax.errors import UserError
from maskformer_jax.tensor_rules.rules import (
    CONV,
    HEADS_OUT,
    LINEAR,
    VECTOR,
    Rule,
    add_prefix,
    packed_heads,
)
from maskformer_jax.tensor_rules.transfer import export_tensors, import_tensors

RNG = np.random.default_rng(0)
RULES = (
    Rule(r"conv_(\d)/kernel", r"conv.\1.weight", CONV),
    Rule(r"dense/kernel", r"fc.weight", LINEAR),
    Rule(r"(conv_\d|dense)/bias", r"\1.bias", VECTOR),
)
SHAPES = {
    "params": {
        "conv_0": {"kernel": (3, 5, 2, 4), "bias": (4,)},
        "dense": {"kernel": (6, 7), "bias": (7,)},
    }
}
THEIRS = {
    "conv.0.weight": (4, 2, 3, 5),
    "conv_0.bias": (4,),
    "fc.weight": (7, 6),
    "dense.bias": (7,),
}


class Leaf:
    """The attributes that a template must have."""

    def __init__(self, *shape):
        self.shape = shape
        self.dtype = np.float32


def make_template():
    return {
        kind: {
            module: {name: Leaf(*shape) for name, shape in leaves.items()}
            for module, leaves in modules.items()
        }
        for kind, modules in SHAPES.items()
    }


def make_tensors():
    return {name: RNG.normal(size=shape).astype(np.float32) for name, shape in THEIRS.items()}


def test_layouts_compute_the_same():
    tensors = make_tensors()
    params = import_tensors(tensors, make_template(), RULES)["params"]
    x = RNG.normal(size=6)
    np.testing.assert_allclose(x @ params["dense"]["kernel"], tensors["fc.weight"] @ x, rtol=1e-6)
    assert params["conv_0"]["kernel"][2, 4, 1, 3] == tensors["conv.0.weight"][3, 1, 2, 4]


def test_there_and_back():
    tensors = make_tensors()
    back = export_tensors(import_tensors(tensors, make_template(), RULES), RULES)
    assert back.keys() == tensors.keys()
    for name, tensor in tensors.items():
        np.testing.assert_array_equal(back[name], tensor)


def test_half_precision_becomes_the_template_s():
    tensors = {name: x.astype(np.float16) for name, x in make_tensors().items()}
    params = import_tensors(tensors, make_template(), RULES)["params"]
    assert params["dense"]["kernel"].dtype == np.float32
    np.testing.assert_array_equal(params["dense"]["kernel"], tensors["fc.weight"].T)


def test_all_problems_are_reported_at_once():
    tensors = make_tensors()
    del tensors["conv.0.weight"]
    tensors["fc.weight"] = tensors["fc.weight"].T
    tensors["dense.bias"] = np.zeros(8, np.float32)
    for name in ("more.weight", "more.counter", "more.counter.weight"):
        tensors[name] = np.zeros(1)
    with pytest.raises(UserError) as error:
        import_tensors(
            tensors, make_template(), RULES, skipped=(r".*\.counter",), source="file.pkl"
        )
    assert str(error.value).splitlines() == [
        "file.pkl does not fit the model:",
        "  missing: conv.0.weight [4, 2, 3, 5]",
        "  wrong shape: dense.bias is [8], the model needs [7]",
        "  wrong shape: fc.weight is [6, 7], the model needs [7, 6]",
        "  unexpected: more.counter.weight [1]",
        "  unexpected: more.weight [1]",
    ]


def test_no_variable_matches_two_rules():
    with pytest.raises(ValueError, match="2 conversion rules instead of one"):
        import_tensors(make_tensors(), make_template(), (*RULES, Rule(".*", "x", VECTOR)))


def test_variables_without_a_rule_are_named_in_both_directions():
    variables = import_tensors(make_tensors(), make_template(), RULES)
    with pytest.raises(UserError) as error:
        import_tensors(make_tensors(), make_template(), RULES[:1])
    assert "  has no place for: params/dense/kernel [6, 7]" in str(error.value).splitlines()
    with pytest.raises(UserError) as error:
        export_tensors(variables, RULES[:1])
    assert "  params/dense/kernel" in str(error.value).splitlines()


def attention_rules():
    rules = [Rule("out/kernel", "out.weight", HEADS_OUT)]
    for part, role in enumerate(("query", "key", "value")):
        kernel, bias = packed_heads(part)
        rules += [
            Rule(f"{role}/kernel", "in.weight", kernel),
            Rule(f"{role}/bias", "in.bias", bias),
        ]
    return add_prefix(rules, ours="attention/", theirs="attn.")


def test_packed_attention():
    heads, head_dim, dim = 2, 3, 6
    roles = {
        role: {"kernel": Leaf(dim, heads, head_dim), "bias": Leaf(heads, head_dim)}
        for role in ("query", "key", "value")
    }
    template = {"params": {"attention": {**roles, "out": {"kernel": Leaf(heads, head_dim, dim)}}}}
    tensors = {
        "attn.in.weight": RNG.normal(size=(18, 6)).astype(np.float32),
        "attn.in.bias": RNG.normal(size=18).astype(np.float32),
        "attn.out.weight": RNG.normal(size=(6, 6)).astype(np.float32),
    }
    variables = import_tensors(tensors, template, attention_rules())
    ours = variables["params"]["attention"]
    x = RNG.normal(size=dim)
    packed = tensors["attn.in.weight"] @ x + tensors["attn.in.bias"]
    for part, role in enumerate(("query", "key", "value")):
        projected = np.einsum("d,dmh->mh", x, ours[role]["kernel"]) + ours[role]["bias"]
        expected = packed[6 * part : 6 * part + 6].reshape(heads, head_dim)
        np.testing.assert_allclose(projected, expected, rtol=1e-5)
    out = np.einsum("mh,mhd->d", x.reshape(heads, head_dim), ours["out"]["kernel"])
    np.testing.assert_allclose(out, tensors["attn.out.weight"] @ x, rtol=1e-5)

    back = export_tensors(variables, attention_rules())
    assert back.keys() == tensors.keys()
    for name, tensor in tensors.items():
        np.testing.assert_array_equal(back[name], tensor)


def test_a_missing_packed_tensor_is_reported_once():
    template = {
        "params": {"attention": {r: {"bias": Leaf(2, 3)} for r in ("query", "key", "value")}}
    }
    with pytest.raises(UserError) as error:
        import_tensors({}, template, attention_rules())
    assert str(error.value).count("missing: attn.in.bias [18]") == 1
