"""Single operations of random networks, as tables of text; see random_graphs_steps.py for the letters."""

from __future__ import annotations

Forms = dict[str, tuple[str, dict[str, str]]]

# ---- norms ---------------------------------------------------------------------------------------------------------

NORMS = (
    "nn.BatchNorm2d(c, affine=False)",
    "nn.BatchNorm1d(c)",
    "nn.GroupNorm(1, c)",
    "nn.GroupNorm(2, c)",
    "nn.GroupNorm(c, c)",
    "nn.InstanceNorm2d(c)",
    "nn.InstanceNorm2d(c, affine=True)",
    "nn.InstanceNorm2d(c, affine=True, track_running_stats=True)",
    "nn.LocalResponseNorm(2)",
    "nn.LocalResponseNorm(3, alpha=0.5)",
    "nn.LayerNorm([c, h, w])",
)
NORMS_BEHIND: Forms = {
    "permute": ("m.f(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)", {"f": "nn.LayerNorm(c)"}),
    "movedim": ("torch.movedim(m.f(x.movedim(1, -1)), -1, 1)", {"f": "nn.LayerNorm(c, eps=1e-3)"}),
    "tokens": ("m.f(x.flatten(2).transpose(1, 2)).transpose(1, 2)", {"f": "nn.LayerNorm(c)"}),
    "flatten": ("m.f(x.flatten(2))", {"f": "nn.BatchNorm1d(c)"}),
    "mean": ("m.f(x.mean((2, 3)))", {"f": "nn.BatchNorm1d(c)"}),
}

# ---- one value, element by element ---------------------------------------------------------------------------------

ACTIVATIONS = (
    *("nn.ReLU()", "nn.Sigmoid()", "nn.SiLU()", "nn.Softplus()", "nn.Softplus(2.0, 1.5)", "nn.Tanh()", "nn.GELU()"),
    *("nn.GELU('tanh')", "nn.ELU(0.7)", "nn.CELU(1.3)", "nn.SELU()", "nn.Mish()", "nn.Softsign()", "nn.Hardswish()"),
    *("nn.Hardsigmoid()", "nn.Hardtanh(-0.7, 0.9)", "nn.Hardtanh(0.2, 0.9)", "nn.ReLU6()", "nn.LeakyReLU(0.2)"),
    *("nn.PReLU()", "nn.PReLU(c)", "nn.RReLU()", "nn.Hardshrink(0.3)", "nn.Softshrink(0.2)", "nn.Tanhshrink()"),
    *("nn.Threshold(0.1, -0.3)", "nn.LogSigmoid()"),
)
FUNCTIONS = (
    *("F.relu(x)", "F.silu(x)", "F.gelu(x, approximate='tanh')", "F.hardtanh(x, -0.7, 0.9)", "F.leaky_relu(x, 0.2)"),
    *("F.softplus(x, beta=2)", "F.threshold(x, 0.1, -0.3)", "F.logsigmoid(x)", "F.softshrink(x, 0.2)", "F.selu(x)"),
    *("F.hardshrink(x, 0.3)", "F.tanhshrink(x)", "F.celu(x, 1.3)", "F.elu(x, alpha=0.7)", "F.mish(x)", "F.relu6(x)"),
    *("F.hardswish(x)", "F.hardsigmoid(x)", "F.softsign(x)", "F.rrelu(x)", "torch.sigmoid(x)", "torch.tanh(x)"),
    *("torch.erf(x)", "torch.sin(x)", "torch.cos(x)", "torch.log1p(x * x)", "torch.abs(x)", "torch.square(x)"),
    *("torch.clamp(x, -0.5, 0.8)", "torch.relu(x)", "torch.where(x > 0.2, x, 0.3 * x + 0.1)", "torch.neg(x)"),
)
FUNCTIONS_WITH_PARTS: Forms = {"F.prelu(x, m.slope)": ("F.prelu(x, m.slope)", {"slope": "p(c)"})}
METHODS = (
    *("x.relu()", "x.sigmoid()", "x.tanh()", "x.abs()", "x.neg()", "x.square()", "x.pow(2)", "x.clamp(-0.5, 0.8)"),
    *("x.clamp(min=0.1)", "x.clamp_min(-0.2)", "x.sigmoid().log()", "x.sigmoid().exp()", "x.mul(0.5).sub(1)"),
    *("x.div(2)", "x.add(1.5)", "(x * x + 1).sqrt()", "(x * x + 1).rsqrt()", "x.contiguous()", "x.clone()"),
    *("x.to(torch.float64)", "x.type_as(x)", "x.expand_as(x)", "x.masked_fill(x > 1, 0.4)", "x.softmax(1)"),
)
ARITHMETIC = (
    *("x * 0.5 - 1", "1 - x", "x / 2", "2 / (x * x + 1)", "x ** 2", "-x", "0.5 * x + 0.25", "x * x", "x + x"),
    *("torch.add(x, 0.7)", "torch.mul(x, -0.5)", "torch.sub(1, x)", "torch.div(x, 4)", "x - 0.3", "x + 0 * x"),
    *("x - x.mean(1, keepdim=True)", "x - x.mean((2, 3), keepdim=True)"),
)
IN_PLACE = (
    *("x.relu_()", "x.mul_(0.5)", "x.add_(1)", "x.clamp_(-0.5, 0.8)", "F.relu(x, inplace=True)", "torch.sigmoid_(x)"),
    *("F.elu(x, 1.0, True)", "operator.iadd(x, 0.5)", "operator.imul(x, -1.5)", "x.sigmoid_()", "x.neg_()"),
    *("F.relu_(x)", "F.leaky_relu_(x, 0.2)"),
)
IN_PLACE_LAYERS: Forms = {
    form: ("m.f(x)", {"f": form})
    for form in ("nn.ReLU(inplace=True)", "nn.Hardswish(inplace=True)", "nn.SiLU(True)", "nn.Dropout(0.3, True)")
}
NOTHINGS = ("nn.Identity()", "nn.Dropout(0.4)", "nn.Dropout2d(0.4)", "nn.AlphaDropout(0.2)")

# ---- several values, parameters, gates -----------------------------------------------------------------------------

TWO_VALUES = (
    *("x + y", "x - y", "x * y", "x / (y * y + 1)", "torch.maximum(x, y)", "torch.minimum(x, y)", "torch.add(x, y)"),
    *(
        "torch.add(x, y, alpha=2)",
        "x.add(y)",
        "x.mul(y)",
        "torch.mul(x, y)",
        "x.sub(y, alpha=0.5)",
        "torch.lerp(x, y, 0.3)",
    ),
    *(
        "torch.div(x, y.sigmoid() + 0.5)",
        "torch.where(x > y, x, 0.5 * y)",
        "x + 0.5 * y",
        "y + x",
        "x * torch.sigmoid(y)",
    ),
)
PARAMETERS: Forms = {
    "scale (C,1,1)": ("x * m.scale", {"scale": "p(c, 1, 1)"}),
    "shift (C,1,1)": ("m.shift + x", {"shift": "p(c, 1, 1)"}),
    "scale and shift": ("x * m.scale + m.shift", {"scale": "p(c, 1, 1)", "shift": "p(c, 1, 1)"}),
    "scale (1,C,1,1)": ("m.scale * x", {"scale": "p(1, c, 1, 1)"}),
    "shift (1,C,1,1)": ("torch.add(x, m.shift)", {"shift": "p(1, c, 1, 1)"}),
    "full plane": ("x + m.table", {"table": "p(1, c, h, w)"}),
    "scalar": ("x * m.scale", {"scale": "p()"}),
    "scalar shift": ("x - m.shift", {"shift": "p(1)"}),
    "reshaped (C)": ("x * m.scale.view(1, -1, 1, 1)", {"scale": "p(c)"}),
    "indexed (C)": ("x * m.scale[:, None, None]", {"scale": "p(c)"}),
    "of rows (N,C)": ("x * m.scale + m.shift", {"scale": "p(c)", "shift": "p(c)"}),
    "buffer": (
        "(x - m.mean) / m.std",
        {"mean": "torch.linspace(-1, 1, c).view(c, 1, 1)", "std": "torch.ones(1, c, 1, 1)"},
    ),
    "layer scale branch": (
        "x + m.gamma * m.f(x).tanh()",
        {"gamma": "p(c, 1, 1)", "f": "nn.Conv2d(c, c, 3, padding=1)"},
    ),
}
# ---- movement ------------------------------------------------------------------------------------------------------

CATS = (
    *("torch.cat([x, y], 1)", "torch.cat((y, x), dim=1)", "torch.cat([x, y, x], -3)", "torch.concat([x, 0.5 * y], 1)"),
    *("torch.cat([x, y], 2)", "torch.cat([x, y], dim=-1)", "torch.cat([x, torch.zeros_like(x)], 1)"),
    "torch.cat([x, torch.ones_like(y)], 1)",
)
PARTS = (
    *(
        "x.chunk(2, 1)[0]",
        "torch.chunk(x, 2, 1)[1]",
        "torch.cat(x.chunk(3, 1)[::-1], 1)",
        "x.chunk(2, 1)[0] * x.chunk(2, 1)[1].sigmoid()",
    ),
    *("x.split(2, 1)[0]", "torch.split(x, [1, c - 1], 1)[1]", "torch.cat(torch.split(x, [2, c - 2], dim=1)[::-1], 1)"),
    *("x.split((c - 1, 1), dim=1)[0]", "x.tensor_split(2, 1)[0]", "torch.cat([x.split(1, 1)[1], x.split(1, 1)[0]], 1)"),
    *(
        "x.narrow(1, 1, c - 1)",
        "torch.narrow(x, 1, 0, c // 2)",
        "x[:, 1::2]",
        "x[:, ::2]",
        "x[:, -2:]",
        "x[:, :-1]",
        "x[:, 1:3]",
    ),
    *("x.flip(1)", "torch.flip(x, [1])", "torch.flip(x, (2, 3))", "x[:, [1, 0]]", "x[:, 0:1] + x[:, 1:]", "x[..., 1:]"),
    *(
        "x[:, :, ::2, 1:]",
        "x[:, :2, 1:, :-1]",
        "x.roll(1, 1)",
        "torch.roll(x, 1, 3)",
        "x.select(1, 1).unsqueeze(1) * x",
    ),
    *("torch.cat(x.unbind(1)[:2], 1).unsqueeze(1)", "x[:, 0].unsqueeze(1) - x", "x.repeat(1, 2, 1, 1)"),
    "x.repeat_interleave(2, 1)",
)
PARTS_WITH_INDICES: Forms = {
    "index_select": ("torch.index_select(x, 1, m.index)", {"index": "torch.arange(c - 1, -1, -1)"}),
    "index_select twice": ("x.index_select(1, m.index)", {"index": "torch.tensor([1, 0, 0])"}),
    "index by a buffer": ("x[:, m.index]", {"index": "torch.tensor([1, 0])"}),
}
SHUFFLES = (
    "x.view(x.size(0), 2, x.size(1) // 2, x.size(2), x.size(3)).transpose(1, 2).reshape(x.size(0), x.size(1), x.size(2), x.size(3))",
    "x.view(-1, 2, c // 2, h, w).transpose(1, 2).reshape(-1, c, h, w)",
    "x.reshape(x.shape[0], c // 3, 3, x.shape[2], -1).transpose(1, 2).flatten(1, 2)",
    "x.view(x.shape[0], 2, -1, x.shape[2], x.shape[3]).permute(0, 2, 1, 3, 4).contiguous().view(x.shape)",
    "x.unflatten(1, (c // 2, 2)).transpose(2, 1).flatten(1, 2)",
    "torch.channel_shuffle(x, 2)",
)
STACKS = (
    *("torch.stack([x, y]).sum(0)", "torch.stack([x, y], 1).sum(1)", "torch.stack([x, y], 2).flatten(1, 2)"),
    *("torch.stack((x, y), dim=1).flatten(1, 2)", "torch.stack([x, y], 1).amax(1)", "torch.stack([x, y], -1).mean(-1)"),
)
VIEWS = (
    *(
        "x.unflatten(1, (c // 2, 2)).sum(2)",
        "x.unflatten(1, (2, c // 2)).amax(1)",
        "torch.unflatten(x, 1, (c // 2, 2)).mean(2)",
    ),
    *("x.view(x.size(0), 2, -1, x.size(2), x.size(3)).sum(1)", "x.permute(0, 1, 3, 2)", "x.transpose(2, 3)", "x.mT"),
    *("x.flatten(2)", "x.flatten(2).mean(2)", "x.unsqueeze(2).squeeze(2)", "x[:, :, None].squeeze(2)"),
    *("x.flatten(1, 2)", "x.reshape(x.shape[0], -1)", "torch.flatten(x, 1)", "x.view(x.size(0), c, -1)"),
    *("x.permute(0, 2, 3, 1)", "x.permute(0, 3, 1, 2)", "x.transpose(1, 2)", "x[:, :, None, None]", "x.movedim(1, 2)"),
    *("x.swapaxes(2, 3)",),
    "F.unfold(x, 2)",
)
PIXELS: Forms = {
    "shuffle": ("F.pixel_shuffle(x, 2)", {}),
    "conv and shuffle": ("m.g(m.f(x))", {"f": "nn.Conv2d(c, 8, 1)", "g": "nn.PixelShuffle(2)"}),
    "unshuffle": ("F.pixel_unshuffle(x, 2)", {}),
    "crop and unshuffle": ("m.f(torch.pixel_unshuffle(x[:, :4, :6, :6], 2))", {"f": "nn.Conv2d(16, 6, 1)"}),
    "unshuffle layer": ("m.g(m.f(x))", {"f": "nn.Conv2d(c, 3, 3, padding=1)", "g": "nn.PixelUnshuffle(2)"}),
}
PADS = (
    *("F.pad(x, (0, 0, 0, 0, 1, 2))", "F.pad(x, (0, 0, 0, 0, 0, 1), value=0.7)", "F.pad(x, (1, 1, 1, 1))"),
    *(
        "F.pad(x, (1, 0, 0, 1), 'constant', 0.7)",
        "F.pad(x, (1, 1, 1, 1), mode='reflect')",
        "F.pad(x, (1, 0, 2, 1), 'replicate')",
    ),
    *(
        "F.pad(x, (1, 1, 0, 0), 'circular')",
        "F.pad(x, (-1, 0, 0, -1))",
        "F.pad(x, (0, 0, 0, 0, -1, 1))",
        "F.pad(x, (1, 1, 0, 0, 1, 0))",
    ),
)
PAD_LAYERS = (
    "nn.ZeroPad2d(1)",
    "nn.ReflectionPad2d(1)",
    "nn.ReplicationPad2d((1, 0, 0, 1))",
    "nn.ConstantPad2d(1, 0.7)",
)
POOLS = (
    *(
        "nn.MaxPool2d(2)",
        "nn.MaxPool2d(3, 2, 1)",
        "nn.MaxPool2d(3, 2, ceil_mode=True)",
        "nn.MaxPool2d(2, 1, dilation=2)",
    ),
    *("nn.AvgPool2d(3, 1, 1)", "nn.AvgPool2d(3, 1, 1, count_include_pad=False)", "nn.AvgPool2d(2, ceil_mode=True)"),
    *("nn.AvgPool2d(3, 2, 1, ceil_mode=True)", "nn.AvgPool2d(2, divisor_override=3)", "nn.AdaptiveAvgPool2d(1)"),
    *(
        "nn.AdaptiveAvgPool2d((3, 2))",
        "nn.AdaptiveMaxPool2d(2)",
        "nn.LPPool2d(2, 2)",
        "nn.AdaptiveAvgPool2d((None, 4))",
    ),
)
POOL_FUNCTIONS = (
    *(
        "F.avg_pool2d(x, 2)",
        "F.max_pool2d(x, 3, 1, 1)",
        "F.adaptive_avg_pool2d(x, (2, 3))",
        "F.adaptive_max_pool2d(x, 3)",
    ),
    *(
        "F.lp_pool2d(x, 2.0, 2)",
        "F.avg_pool2d(x, 3, stride=2, padding=1, count_include_pad=False)",
        "F.avg_pool2d(x, x.size(2))",
    ),
)
RESIZES = (
    *(
        "F.interpolate(x, scale_factor=2)",
        "F.interpolate(x, scale_factor=2, mode='bilinear')",
        "F.interpolate(x, (6, 7))",
    ),
    *("F.interpolate(x, scale_factor=0.5, mode='bilinear', align_corners=True)", "F.interpolate(x, size=x.shape[2:])"),
    "F.interpolate(x, (5, 6), mode='bicubic')",
)
RESIZE_LAYERS = (
    "nn.Upsample(scale_factor=2)",
    "nn.Upsample(scale_factor=2, mode='bilinear', align_corners=False)",
    "nn.Upsample((9, 7))",
)

# ---- across a plane or across channels -----------------------------------------------------------------------------

REDUCTIONS = (
    *(
        "x.mean((2, 3), keepdim=True)",
        "x.sum((2, 3), keepdim=True) / 9",
        "x.amax((2, 3), keepdim=True)",
        "x.mean((2, 3))",
    ),
    *("x.mean(dim=[-1, -2])", "torch.mean(x, 3, True)", "x.amax(2, keepdim=True) * x", "x.std((2, 3), keepdim=True)"),
    *("x.mean(1, keepdim=True)", "x.sum(1, keepdim=True)", "x.amax(1, keepdim=True)", "x.max(1, keepdim=True)[0]"),
    *(
        "torch.amin(x, (2, 3), True)",
        "x.var(1, keepdim=True)",
        "torch.logsumexp(x, 1, keepdim=True)",
        "x.norm(dim=1, keepdim=True) + x",
    ),
    "torch.sum(x, dim=(2, 3), keepdim=True) * 0.1",
)
ACROSS_CHANNELS = (
    *("torch.softmax(x, 1)", "F.softmax(x, dim=1)", "F.log_softmax(x, 1)", "F.normalize(x, dim=1)", "x.cumsum(1)"),
    *(
        "x.flatten(2).softmax(2).view(x.shape)",
        "x - x.amax(1, keepdim=True)",
        "torch.einsum('nchw,ndhw->ncd', x, x) * 0.1",
    ),
    *("x / (1 + x.abs().sum(1, keepdim=True))", "torch.sort(x, 1)[0]"),
)
ACROSS_CHANNEL_LAYERS = ("nn.Softmax(1)", "nn.Softmax2d()", "nn.LogSoftmax(1)", "nn.Softmin(1)", "nn.CrossMapLRN2d(2)")
