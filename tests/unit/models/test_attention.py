"""Our attention gives what the fused kernel gives and keeps no map of a long text; what differs on a GPU."""

import pytest
import torch
from torch.autograd.graph import saved_tensors_hooks
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface
from transformers.masking_utils import AttentionMaskInterface, bidirectional_mask_function

from pipeline.models.attention import ATTENTION, SHORT, _fused

HEADS = 2


@pytest.mark.parametrize("dtype", SHORT)
@pytest.mark.parametrize("short", [True, False])
def test_attention_and_its_gradients_are_those_of_the_fused_kernel(dtype: torch.dtype, short: bool) -> None:
    tokens = 9 if short else SHORT[dtype] + 1
    shape, real = (3, HEADS, tokens, 8), torch.arange(tokens) < torch.tensor([tokens, 4, 6])[:, None]
    mask = real[:, None, None, :].expand(3, 1, tokens, tokens)
    torch.manual_seed(0)
    exact = [torch.randn(shape).to(dtype).float().requires_grad_() for _ in range(3)]
    rough = [tensor.detach().to(dtype).requires_grad_() for tensor in exact]
    right = scaled_dot_product_attention(*exact, attn_mask=mask).transpose(1, 2)
    attend = AttentionInterface()[ATTENTION]
    found, ((query, *_),) = attend(torch.nn.Module(), *rough, mask, scaling=8**-0.5, output_attentions=True)
    assert query is rough[0] and found.dtype == dtype
    tolerance = 0.02 if dtype == torch.bfloat16 else 1e-5
    torch.testing.assert_close(found.float(), right, rtol=tolerance, atol=tolerance)
    (found.float() * real[:, :, None, None]).square().sum().backward()
    (right * real[:, :, None, None]).square().sum().backward()
    for ours, theirs in zip(rough, exact, strict=True):
        assert ours.grad is not None and theirs.grad is not None
        assert (ours.grad.float() - theirs.grad).norm() < tolerance * theirs.grad.norm()


@pytest.mark.parametrize(("dtype", "longest"), SHORT.items())
def test_no_map_of_a_long_text_is_kept_for_the_backward_pass(dtype: torch.dtype, longest: int) -> None:
    tokens, kept = longest + 1, list[torch.Size]()
    query, key, value = (torch.randn(3, HEADS, tokens, 8, dtype=dtype, requires_grad=True) for _ in range(3))
    with saved_tensors_hooks(lambda tensor: kept.append(tensor.shape) or tensor, lambda tensor: tensor):
        AttentionInterface()[ATTENTION](torch.nn.Module(), query, key, value, None, scaling=8**-0.5)
    assert kept and not any((tokens, tokens) == tuple(shape[-2:]) for shape in kept)


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
