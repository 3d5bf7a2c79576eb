"""Our attention gives what the fused kernel gives, in bf16 too, and keeps no map; what differs on a GPU."""

import pytest
import torch
from torch.autograd.graph import saved_tensors_hooks
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface
from transformers.masking_utils import AttentionMaskInterface, bidirectional_mask_function

from pipeline.models.attention import ATTENTION, SHORT, _fused

HEADS = 2


@pytest.mark.parametrize("tokens", [9, SHORT + 1])
def test_in_bf16_attention_and_its_gradients_are_those_of_float32(tokens: int) -> None:
    shape, real = (3, HEADS, tokens, 8), torch.arange(tokens) < torch.tensor([tokens, 4, 6])[:, None]
    mask = real[:, None, None, :].expand(3, 1, tokens, tokens)
    torch.manual_seed(0)
    exact = [torch.randn(shape).bfloat16().float().requires_grad_() for _ in range(3)]
    rough = [tensor.detach().bfloat16().requires_grad_() for tensor in exact]
    right = scaled_dot_product_attention(*exact, attn_mask=mask).transpose(1, 2)
    attend = AttentionInterface()[ATTENTION]
    found, ((query, *_),) = attend(torch.nn.Module(), *rough, mask, scaling=8**-0.5, output_attentions=True)
    assert query is rough[0] and found.dtype == torch.bfloat16
    torch.testing.assert_close(found.float(), right, rtol=0.02, atol=0.02)
    (found.float() * real[:, :, None, None]).square().sum().backward()
    (right * real[:, :, None, None]).square().sum().backward()
    for ours, theirs in zip(rough, exact, strict=True):
        assert ours.grad is not None and theirs.grad is not None
        assert (ours.grad.float() - theirs.grad).norm() < 0.02 * theirs.grad.norm()


def test_no_map_is_kept_for_the_backward_pass() -> None:
    kept: list[torch.Size] = []
    query, key, value = (torch.randn(3, HEADS, 48, 8, dtype=torch.bfloat16, requires_grad=True) for _ in range(3))
    with saved_tensors_hooks(lambda tensor: kept.append(tensor.shape) or tensor, lambda tensor: tensor):
        AttentionInterface()[ATTENTION](torch.nn.Module(), query, key, value, None, scaling=8**-0.5)
    assert kept and not any(48 in shape[-1:] for shape in kept)


def test_heads_of_a_width_that_gpus_do_not_take_are_filled_up_with_zeros() -> None:
    real = torch.arange(9) < torch.tensor([9, 4, 6])[:, None]
    torch.manual_seed(0)
    query, key, value = torch.randn(3, 3, HEADS, 9, 26)
    mask = real[:, None, None]
    right = scaled_dot_product_attention(query, key, value, attn_mask=mask.expand(3, 1, 9, 9)).transpose(1, 2)
    for scaling in (None, 26**-0.5):
        found = _fused(torch.nn.Module(), query, key, value, mask, scaling=scaling)
        torch.testing.assert_close(found, right)


def test_a_gpu_is_not_asked_whether_a_mask_hides_anything() -> None:
    asked = {"batch_size": 2, "q_length": 8, "kv_length": 8, "mask_function": bidirectional_mask_function}
    asked |= {"allow_is_causal_skip": False, "allow_is_bidirectional_skip": True}
    mask_of = AttentionMaskInterface()[ATTENTION]
    full = torch.ones(2, 8, dtype=torch.bool)
    with pytest.raises(RuntimeError, match="meta"):
        full.to("meta").all().item()  # a device that has no answer
    assert mask_of(**asked, attention_mask=full.to("meta"), device="meta").shape == (2, 1, 8, 8)
    assert mask_of(**asked, attention_mask=None, device="meta") is None
    assert mask_of(**asked, attention_mask=full, device="cpu") is None
