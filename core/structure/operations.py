"""The vocabulary of files: every function, method, attribute and torch.nn class that a written network may name.

All of them are pure: tensors and numbers in, tensors and numbers out. Nothing here draws random numbers in eval mode,
writes in place, reads or writes files, or runs text. What is not named here cannot enter a file, nor leave one.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

OPERATORS = """
    add sub mul truediv floordiv mod pow neg pos abs matmul getitem eq ne lt le gt ge and_ or_ xor invert
"""
MATH = "sqrt floor ceil exp log log2"
LINALG = "norm vector_norm"
TORCH = """
    add sub mul div true_divide floor_divide remainder fmod neg pow square sqrt rsqrt reciprocal abs sign exp expm1 log
    log2 log10 log1p sin cos tan asin acos atan atan2 sinh cosh tanh sigmoid erf erfc floor ceil round trunc frac clamp
    clamp_min clamp_max clip maximum minimum lerp addcmul addcdiv hypot logaddexp
    eq ne lt le gt ge logical_and logical_or logical_xor logical_not where isnan isinf isfinite
    matmul mm bmm mv dot outer tensordot einsum addmm baddbmm
    sum mean prod amax amin max min argmax argmin var std var_mean std_mean norm logsumexp cumsum cumprod all any
    topk sort argsort median
    cat concat concatenate stack hstack vstack dstack chunk split tensor_split unbind narrow select index_select
    index_add index_copy index_fill gather scatter scatter_add take_along_dim masked_fill flatten unflatten reshape
    permute transpose swapaxes swapdims movedim moveaxis squeeze unsqueeze broadcast_to tile repeat_interleave roll
    flip rot90 tril triu diagonal meshgrid clone
    zeros ones full arange linspace eye zeros_like ones_like full_like
    relu selu celu threshold softmax log_softmax dropout channel_shuffle batch_norm group_norm instance_norm layer_norm
    rms_norm max_pool1d max_pool2d max_pool3d adaptive_max_pool1d
"""
FUNCTIONAL = """
    relu relu6 leaky_relu prelu rrelu elu selu celu gelu silu mish glu sigmoid logsigmoid tanh tanhshrink softplus
    softsign softshrink hardshrink hardtanh hardsigmoid hardswish threshold softmax softmin log_softmax
    conv1d conv2d conv3d conv_transpose1d conv_transpose2d conv_transpose3d linear bilinear embedding embedding_bag
    avg_pool1d avg_pool2d avg_pool3d max_pool1d max_pool2d max_pool3d lp_pool1d lp_pool2d lp_pool3d
    adaptive_avg_pool1d adaptive_avg_pool2d adaptive_avg_pool3d adaptive_max_pool1d adaptive_max_pool2d
    adaptive_max_pool3d max_unpool1d max_unpool2d max_unpool3d
    batch_norm layer_norm group_norm instance_norm rms_norm local_response_norm normalize
    dropout dropout1d dropout2d dropout3d alpha_dropout feature_alpha_dropout
    pad interpolate upsample upsample_nearest upsample_bilinear pixel_shuffle pixel_unshuffle channel_shuffle
    fold unfold grid_sample affine_grid scaled_dot_product_attention cosine_similarity pairwise_distance one_hot
"""
METHODS = """
    size dim numel new_zeros new_ones new_full to type_as float double half bfloat16 int long bool
    add sub mul div neg pow square sqrt rsqrt reciprocal abs sign exp expm1 log log1p sin cos tanh sigmoid erf floor
    ceil round clamp clamp_min clamp_max clip relu softmax log_softmax maximum minimum lerp
    eq ne lt le gt ge logical_and logical_or logical_not where masked_fill
    matmul mm bmm addmm baddbmm t
    sum mean prod amax amin max min argmax argmin var std norm logsumexp cumsum all any topk sort
    expand expand_as view view_as reshape reshape_as flatten unflatten permute transpose swapaxes swapdims movedim
    squeeze unsqueeze broadcast_to repeat repeat_interleave tile chunk split tensor_split unbind unfold narrow select
    index_select index_add index_copy index_fill gather scatter scatter_add roll flip tril triu diagonal
    contiguous clone detach
"""
ATTRIBUTES = "shape ndim T mT dtype device values indices"
CLASSES = """
    Conv1d Conv2d Conv3d ConvTranspose1d ConvTranspose2d ConvTranspose3d Linear Bilinear Embedding EmbeddingBag
    MultiheadAttention
    BatchNorm1d BatchNorm2d BatchNorm3d InstanceNorm1d InstanceNorm2d InstanceNorm3d LayerNorm GroupNorm RMSNorm
    LocalResponseNorm CrossMapLRN2d
    ReLU ReLU6 LeakyReLU PReLU RReLU ELU SELU CELU GELU SiLU Mish GLU Sigmoid LogSigmoid Tanh Tanhshrink Softplus
    Softsign Softshrink Hardshrink Hardtanh Hardsigmoid Hardswish Threshold Softmax Softmax2d Softmin LogSoftmax
    AvgPool1d AvgPool2d AvgPool3d MaxPool1d MaxPool2d MaxPool3d LPPool1d LPPool2d LPPool3d
    AdaptiveAvgPool1d AdaptiveAvgPool2d AdaptiveAvgPool3d AdaptiveMaxPool1d AdaptiveMaxPool2d AdaptiveMaxPool3d
    MaxUnpool1d MaxUnpool2d MaxUnpool3d
    ZeroPad1d ZeroPad2d ZeroPad3d ConstantPad1d ConstantPad2d ConstantPad3d ReflectionPad1d ReflectionPad2d
    ReflectionPad3d ReplicationPad1d ReplicationPad2d ReplicationPad3d CircularPad1d CircularPad2d CircularPad3d
    Upsample UpsamplingNearest2d UpsamplingBilinear2d PixelShuffle PixelUnshuffle ChannelShuffle Flatten Unflatten Fold
    Unfold Identity Dropout Dropout1d Dropout2d Dropout3d AlphaDropout FeatureAlphaDropout CosineSimilarity
"""
HOMES: dict[str, tuple[Any, str]] = {  # prefix in a file: where the names are looked up
    "operator": (operator, OPERATORS),
    "math": (math, MATH),
    "functional": (F, FUNCTIONAL),
    "torch": (torch, TORCH),
    "linalg": (torch.linalg, LINALG),
}


def functions() -> dict[str, Callable]:
    """Every function by the name that a file gives it, `torch.cat`."""
    found: dict[str, Callable] = {"builtins.getattr": getattr}
    for prefix, (home, names) in HOMES.items():
        found |= {f"{prefix}.{name}": getattr(home, name) for name in names.split()}
    return found


FUNCTION_OF = functions()
NAME_OF = {function: name for name, function in reversed(FUNCTION_OF.items())}
METHOD_NAMES = frozenset(METHODS.split())
ATTRIBUTE_NAMES = frozenset(ATTRIBUTES.split())
CLASS_OF: dict[str, type[nn.Module]] = {name: getattr(nn, name) for name in CLASSES.split()}
