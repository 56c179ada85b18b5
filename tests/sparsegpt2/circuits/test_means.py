from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from sparsegpt2 import GPT, UserError
from sparsegpt2.circuits.means import means_of, node_means
from sparsegpt2.model.sites import node_sites


def keep_largest(x: Tensor, k: int) -> Tensor:
    """AbsTopK, slowly: one row at a time."""
    out = torch.zeros_like(x)
    for row in range(len(x)):
        for channel in sorted(range(x.shape[1]), key=lambda c: -abs(float(x[row, c])))[:k]:
            out[row, channel] = x[row, channel]
    return out


def test_means_are_taken_after_abs_topk(random_model: GPT) -> None:
    tokens = torch.randint(random_model.config.vocab_size, (5, 8))
    means = node_means(random_model, tokens)
    attention = random_model.blocks[0].attn
    x = random_model.wte.weight[tokens].flatten(0, 1)  # [40, D]
    normed = x / (x.pow(2).mean(-1, keepdim=True) + random_model.config.norm_eps).sqrt() * attention.norm.weight
    act_in = keep_largest(normed, 4)
    torch.testing.assert_close(means["0.attn.act_in"], act_in.mean(0))
    dense = act_in @ attention.c_attn.weight.T + attention.c_attn.bias
    for index, part in enumerate("qkv"):
        before = dense[:, index * 8 : (index + 1) * 8]
        torch.testing.assert_close(means[f"0.attn.{part}"], keep_largest(before, 4).mean(0))
        assert not torch.allclose(means[f"0.attn.{part}"], before.mean(0), atol=1e-3)


def test_every_site_is_there_and_not_zero_whatever_the_batch_size(random_model: GPT) -> None:
    tokens = torch.randint(random_model.config.vocab_size, (7, 8))
    seen = []
    means = node_means(
        random_model, tokens, batch_size=3, progress=lambda done, total, text: seen.append((done, total))
    )
    assert seen == [(3, 7), (6, 7), (7, 7)]
    assert {site: len(mean) for site, mean in means.items()} == node_sites(random_model.config)
    for site, mean in node_means(random_model, tokens).items():
        torch.testing.assert_close(means[site], mean)
        assert mean.dtype == torch.float32 and mean.count_nonzero() > 0, site


@pytest.mark.parametrize("tokens", [torch.zeros(0, 8, dtype=torch.int64), torch.zeros(8, dtype=torch.int64)])
def test_means_of_no_text_are_refused(random_model: GPT, tokens: Tensor) -> None:
    with pytest.raises(UserError, match=r"tokens \[N, T\]"):
        node_means(random_model, tokens)


def test_nan_weights_give_no_means(random_model: GPT) -> None:
    random_model.blocks[0].mlp.c_fc.weight[0, 0] = math.nan
    with pytest.raises(UserError, match=r"0\.mlp\.post_act are not finite"):
        node_means(random_model, torch.zeros(2, 8, dtype=torch.int64))


def test_missing_incomplete_or_nan_means_are_said(random_model: GPT) -> None:
    means = random_model.means
    assert means is not None and means_of(random_model) is means
    random_model.means = {site: mean for site, mean in means.items() if site != "1.attn.k"}
    with pytest.raises(UserError, match=r"lack site 1\.attn\.k"):
        means_of(random_model)
    random_model.means = {**means, "1.attn.k": torch.full((8,), math.inf)}
    with pytest.raises(UserError, match=r"1\.attn\.k are not finite"):
        means_of(random_model)
    random_model.means = None
    with pytest.raises(UserError, match="node_means"):
        means_of(random_model)
