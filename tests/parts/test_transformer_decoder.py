import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from maskformer_jax.parts.transformer_decoders.maskformer.model import TransformerDecoder
from maskformer_jax.parts.transformer_layers import TransformerDecoderLayer

RNG = np.random.default_rng(0)
CONTEXT = jnp.asarray(RNG.normal(size=(2, 3, 4, 12)), jnp.float32)
MASK_FEATURES = jnp.asarray(RNG.normal(size=(2, 6, 8, 10)), jnp.float32)


SETTINGS = {
    "num_classes": 3,
    "num_queries": 5,
    "num_layers": 2,
    "hidden_dim": 16,
    "num_heads": 2,
    "ffn_dim": 24,
    "mask_dim": 10,
    "dropout": 0.0,
}


@pytest.fixture(scope="module")
def make(make_variables):
    """Function of changed settings, to a decoder, its variables and its compiled apply."""

    def make(**settings):
        decoder = TransformerDecoder(**(SETTINGS | settings))
        return decoder, make_variables(decoder, {32: CONTEXT}, MASK_FEATURES)

    return make


def run(decoder, variables, context=CONTEXT, mask_features=MASK_FEATURES):
    return jax.jit(decoder.apply)(variables, {32: context}, mask_features)


def test_shapes_and_layers(make):
    decoder, variables = make()
    predictions = run(decoder, variables)
    assert predictions.class_logits.shape == (2, 2, 5, 4)
    assert predictions.mask_logits.shape == (2, 2, 5, 6, 8)
    assert np.abs(np.diff(predictions.class_logits, axis=0)).max() > 0.01


@pytest.mark.parametrize("pre_norm", [False, True])
def test_permuting_queries_permutes_outputs(make, pre_norm):
    decoder, variables = make(pre_norm=pre_norm)
    order = jnp.asarray([3, 0, 4, 1, 2])
    params = dict(variables["params"])
    params["query_embed"] = params["query_embed"][order]
    one = run(decoder, variables)
    other = run(decoder, {"params": params})
    assert np.abs(one.class_logits[:, :, 0] - one.class_logits[:, :, 3]).max() > 0.01
    np.testing.assert_allclose(one.class_logits[:, :, order], other.class_logits, atol=1e-5)
    np.testing.assert_allclose(one.mask_logits[:, :, order], other.mask_logits, atol=1e-4)


def test_without_deep_supervision_only_the_last_layer_is_left(make):
    decoder, variables = make()
    every = run(decoder, variables)
    last = run(decoder.clone(deep_supervision=False), variables)
    assert last.class_logits.shape[0] == last.mask_logits.shape[0] == 1
    np.testing.assert_allclose(last.class_logits, every.class_logits[-1:], atol=1e-6)
    np.testing.assert_allclose(last.mask_logits, every.mask_logits[-1:], atol=1e-5)


def test_input_proj_exists_only_where_needed(make):
    assert "input_proj" in make()[1]["params"]
    assert "input_proj" not in make(hidden_dim=12)[1]["params"]
    assert "input_proj" in make(hidden_dim=12, enforce_input_proj=True)[1]["params"]


def test_masks_are_products_of_embeddings(make):
    decoder, variables = make()
    double = run(decoder, variables, mask_features=2 * MASK_FEATURES)
    single = run(decoder, variables)
    np.testing.assert_allclose(double.mask_logits, 2 * single.mask_logits, rtol=1e-5)
    np.testing.assert_array_equal(double.class_logits, single.class_logits)


def test_dropout_needs_train_and_its_rng(make):
    decoder, variables = make(dropout=0.5, num_layers=1)
    plain, _ = make(num_layers=1)
    # Two images of the same content, to see that they draw for themselves.
    context, mask_features = (jnp.repeat(x[:1], 2, axis=0) for x in (CONTEXT, MASK_FEATURES))
    expected = run(plain, variables, context, mask_features).class_logits
    evaluated = run(decoder, variables, context, mask_features).class_logits
    np.testing.assert_array_equal(evaluated, expected)

    @jax.jit
    def train(seed):
        return decoder.apply(
            variables,
            {32: context},
            mask_features,
            train=True,
            rngs={"dropout": jax.random.key(seed)},
            capture_intermediates=True,
            mutable=["intermediates"],
        )

    (one, state), (same, _), (other, _) = train(0), train(0), train(1)
    np.testing.assert_array_equal(one.class_logits, same.class_logits)
    assert np.abs(one.class_logits - other.class_logits).max() > 0.01
    # Attention itself drops probabilities of each head and image on their own.
    attended = state["intermediates"]["layer_0"]["self_attention"]["__call__"][0]
    assert np.abs(attended[0] - attended[1]).max() > 1e-3
    with pytest.raises(Exception, match="dropout"):
        decoder.apply(variables, {32: context}, mask_features, train=True)


def test_as_many_tokens_as_channels_raise_no_warning(make):
    context = jnp.zeros((1, 4, 4, 12))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        decoder, _ = make()
        jax.eval_shape(decoder.init, jax.random.key(0), {32: context}, MASK_FEATURES[:1])


def layer_norm(x, norm):
    mean, variance = x.mean(-1, keepdims=True), x.var(-1, keepdims=True)
    y = (x - mean) / np.sqrt(variance + 1e-5)
    return y * np.asarray(norm["scale"]) + np.asarray(norm["bias"])


def attend(q, k, v, params):
    def project(x, role):
        return np.einsum("btd,dmh->btmh", x, params[role]["kernel"]) + np.asarray(
            params[role]["bias"]
        )

    q, k, v = project(q, "query"), project(k, "key"), project(v, "value")
    logits = np.einsum("bqmh,bsmh->bmqs", q, k) / np.sqrt(q.shape[-1])
    weights = np.exp(logits - logits.max(-1, keepdims=True))
    weights /= weights.sum(-1, keepdims=True)
    out = np.einsum("bmqs,bsmh->bqmh", weights, v)
    return np.einsum("bqmh,mhd->bqd", out, params["out"]["kernel"]) + np.asarray(
        params["out"]["bias"]
    )


@pytest.mark.parametrize("pre_norm", [False, True])
def test_layer_is_the_published_one(make_variables, pre_norm):
    layer = TransformerDecoderLayer(num_heads=2, ffn_dim=24, dropout=0.0, pre_norm=pre_norm)
    x, position = (RNG.normal(size=(2, 5, 8)).astype(np.float32) for _ in range(2))
    memory, place = (RNG.normal(size=(2, 7, 8)).astype(np.float32) for _ in range(2))
    inputs = {"query_position": jnp.asarray(position), "memory_position": jnp.asarray(place)}
    arguments = jnp.asarray(x), jnp.asarray(memory)
    variables = make_variables(layer, *arguments, **inputs)
    p = jax.tree.map(np.asarray, variables["params"])

    def self_attention(t):
        return attend(t + position, t + position, t, p["self_attention"])

    def cross_attention(t):
        return attend(t + position, memory + place, memory, p["cross_attention"])

    def feed_forward(t):
        hidden = t @ p["ffn"]["linear1"]["kernel"] + p["ffn"]["linear1"]["bias"]
        return np.maximum(hidden, 0) @ p["ffn"]["linear2"]["kernel"] + p["ffn"]["linear2"]["bias"]

    expected = x
    for i, branch in enumerate((self_attention, cross_attention, feed_forward), start=1):
        if pre_norm:
            expected = expected + branch(layer_norm(expected, p[f"norm{i}"]))
        else:
            expected = layer_norm(expected + branch(expected), p[f"norm{i}"])
    actual = jax.jit(layer.apply)(variables, *arguments, **inputs)
    np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-5)


def test_without_layers_the_heads_read_the_queries(make):
    decoder, variables = make(num_layers=0)
    params = variables["params"]
    assert params.keys() == {"query_embed", "class_embed", "mask_embed"}
    predictions = run(decoder, variables)
    queries, head = np.asarray(params["query_embed"]), jax.device_get(params["class_embed"])
    expected = queries @ head["kernel"] + head["bias"]
    assert predictions.class_logits.shape == (1, 2, 5, 4)
    np.testing.assert_allclose(predictions.class_logits[0, 1], expected, atol=1e-5)
    np.testing.assert_array_equal(
        predictions.mask_logits, run(decoder, variables, context=2 * CONTEXT).mask_logits
    )


def test_heads_of_their_own_read_their_layers(make):
    shared, shared_variables = make()
    separate, variables = make(share_heads=False)
    params = dict(shared_variables["params"])
    heads = {"class_embed": params.pop("class_embed"), "mask_embed": params.pop("mask_embed")}
    for layer, factor in enumerate((1.0, 2.0)):
        for name, head in heads.items():
            last = head if name == "class_embed" else head["layer_2"]
            scaled = jax.tree.map(lambda x, factor=factor: factor * x, last)
            whole = scaled if name == "class_embed" else head | {"layer_2": scaled}
            params[f"{name}_{layer}"] = whole
    assert jax.tree.structure(params) == jax.tree.structure(variables["params"])
    one, other = run(shared, shared_variables), run(separate, {"params": params})
    for ours, theirs in zip(one, other, strict=True):
        np.testing.assert_allclose(theirs[0], ours[0], atol=1e-5)
        np.testing.assert_allclose(theirs[1], 2 * ours[1], atol=2e-4)
    alone = run(separate.clone(deep_supervision=False), {"params": params})
    np.testing.assert_allclose(alone.class_logits[0], other.class_logits[1], atol=1e-5)


def test_without_self_attention_queries_do_not_see_each_other(make):
    decoder, variables = make(self_attention=False)
    layer = variables["params"]["layer_1"]
    assert layer.keys() == {"cross_attention", "ffn", "norm2", "norm3"}
    changed = dict(variables["params"])
    changed["query_embed"] = changed["query_embed"].at[0].add(1.0)
    one, other = run(decoder, variables), run(decoder, {"params": changed})
    np.testing.assert_allclose(one.class_logits[:, :, 1:], other.class_logits[:, :, 1:], atol=1e-6)
    assert jnp.abs(one.class_logits - other.class_logits)[:, :, 0].max() > 0.01
