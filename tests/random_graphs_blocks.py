"""Blocks and heads of random networks that have layers of their own; see random_graphs_steps.py for the letters."""

from __future__ import annotations

Forms = dict[str, tuple[str, dict[str, str]]]

GATES: Forms = {
    "squeeze linear": (
        "x * m.up(F.relu(m.down(x.mean((2, 3))))).sigmoid()[:, :, None, None]",
        {"down": "nn.Linear(c, 3)", "up": "nn.Linear(3, c)"},
    ),
    "squeeze view": (
        "x * torch.sigmoid(m.up(m.down(m.pool(x).flatten(1)).relu())).view(x.size(0), -1, 1, 1)",
        {"pool": "nn.AdaptiveAvgPool2d(1)", "down": "nn.Linear(c, 4)", "up": "nn.Linear(4, c)"},
    ),
    "squeeze conv": (
        "m.gate(m.up(m.act(m.down(m.pool(x))))) * x",
        {
            "pool": "nn.AdaptiveAvgPool2d(1)",
            "down": "nn.Conv2d(c, 4, 1)",
            "act": "nn.SiLU()",
            "up": "nn.Conv2d(4, c, 1)",
            "gate": "nn.Sigmoid()",
        },
    ),
    "squeeze hard": (
        "F.hardsigmoid(m.up(x.mean((2, 3), keepdim=True))).expand_as(x) * x",
        {"up": "nn.Conv2d(c, c, 1, bias=False)"},
    ),
    "one weight per channel": ("x * m.f(x.mean((2, 3), True)).sigmoid()", {"f": "nn.Conv2d(c, c, 1, groups=c)"}),
    "spatial conv": ("x * torch.sigmoid(m.f(x))", {"f": "nn.Conv2d(c, 1, 3, padding=1)"}),
    "spatial mean": ("torch.sigmoid(m.f(x.mean(1, keepdim=True))) * x", {"f": "nn.Conv2d(1, 1, 3, padding=1)"}),
    "spatial pair": (
        "x * m.f(torch.cat([x.mean(1, True), x.amax(1, True)], 1)).sigmoid()",
        {"f": "nn.Conv2d(2, 1, 3, padding=1)"},
    ),
    "spread a row": ("x + m.f(x.mean((2, 3)))[:, :, None, None]", {"f": "nn.Linear(c, c)"}),
    "glu layer": ("m.f(x)", {"f": "nn.GLU(1)"}),
    "glu function": ("F.glu(m.f(x), dim=1)", {"f": "nn.Conv2d(c, 6, 1)"}),
}
TOKENS = "x.flatten(2).transpose(1, 2)"
ATTENTION: Forms = {
    "channels by channels": (
        "((t := x.flatten(2)), torch.softmax(t @ t.transpose(1, 2) * 0.1, -1) @ t)[1].view(x.shape)",
        {},
    ),
    "tokens by tokens": (
        "((t := x.flatten(2)), torch.matmul(t, (t.transpose(1, 2) @ t * 0.1).softmax(-1)).view_as(x))[1]",
        {},
    ),
    "query, key, value": (
        f"((t := {TOKENS}), (m.q(t) @ m.k(t).transpose(1, 2) * 0.3).softmax(-1) @ m.v(t))[1].mean(1)",
        {"q": "nn.Linear(c, 4)", "k": "nn.Linear(c, 4)", "v": "nn.Linear(c, 5)"},
    ),
    "scaled dot product": (
        f"((t := {TOKENS}), F.scaled_dot_product_attention(m.q(t), m.k(t), m.v(t)).transpose(1, 2))[1]",
        {"q": "nn.Linear(c, 4)", "k": "nn.Linear(c, 4)", "v": "nn.Linear(c, 6)"},
    ),
    "heads": (
        f"((t := m.qkv({TOKENS}).unflatten(2, (3, 2, 3)).permute(2, 0, 3, 1, 4)), "
        "F.scaled_dot_product_attention(t[0], t[1], t[2]).transpose(1, 2).flatten(2).transpose(1, 2))[1]",
        {"qkv": "nn.Linear(c, 18)"},
    ),
    "multi-head layer": (
        f"((t := {TOKENS}), m.f(t, t, t, need_weights=False)[0])[1].mean(1)",
        {"f": "nn.MultiheadAttention(c, 1, batch_first=True)"},
    ),
}
LINEARS: Forms = {
    "nhwc": ("m.f(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)", {"f": "nn.Linear(c, 5)"}),
    "nhwc mlp": (
        "m.b(F.gelu(m.a(x.permute(0, 2, 3, 1)))).permute(0, 3, 1, 2) + x",
        {"a": "nn.Linear(c, 6)", "b": "nn.Linear(6, c)"},
    ),
    "tokens": (f"m.f({TOKENS}).mean(1)", {"f": "nn.Linear(c, 6)"}),
    "tokens and back": (
        f"m.f({TOKENS}).transpose(1, 2).view(x.size(0), -1, x.size(2), x.size(3))",
        {"f": "nn.Linear(c, 4)"},
    ),
    "rows": ("m.b(m.a(x.mean((2, 3))).sigmoid())", {"a": "nn.Linear(c, 7)", "b": "nn.Linear(7, 6)"}),
    "of (N, C)": ("m.f(x)", {"f": "nn.Linear(c, 5)"}),
    "rows to plane": ("m.f(x.mean((2, 3))).unflatten(1, (2, 2, 2))", {"f": "nn.Linear(c, 8)"}),
    "width": ("m.f(x)", {"f": "nn.Linear(w, 6)"}),
    "bilinear": ("m.f(x.mean((2, 3)), x.amax((2, 3)))", {"f": "nn.Bilinear(c, c, 4)"}),
    "rows and reshape": (
        "m.f(torch.flatten(m.pool(x), 1)).view(-1, 6)",
        {"pool": "nn.AdaptiveAvgPool2d((2, 1))", "f": "nn.Linear(2 * c, 6)"},
    ),
}

# ---- ownership and structure ---------------------------------------------------------------------------------------

FUNCTIONAL: Forms = {
    "conv2d": ("F.conv2d(x, m.w, padding=1)", {"w": "p(5, c, 3, 3)"}),
    "conv2d and bias": ("F.conv2d(x, m.w, m.b)", {"w": "p(6, c, 1, 1)", "b": "p(6)"}),
    "depthwise": ("F.conv2d(x, m.w, None, 1, 1, 1, c)", {"w": "p(c, 1, 3, 3)"}),
    "layer's weight": (
        "F.conv2d(x, m.f.weight, m.f.bias, padding=1) - m.f(x)",
        {"f": "nn.Conv2d(c, 5, 3, padding=1, padding_mode='replicate')"},
    ),
    "number of a weight": ("m.f(x) * m.f.weight.abs().mean()", {"f": "nn.Conv2d(c, 6, 3, padding=1)"}),
    "number of a norm's weight": ("m.f(x) + m.f.weight.norm()", {"f": "nn.BatchNorm2d(c)"}),
    "bias of a layer": ("m.f(x).tanh() * m.f.bias.view(1, -1, 1, 1)", {"f": "nn.Conv2d(c, 6, 1)"}),
    "linear": ("F.linear(x.mean((2, 3)), m.w, m.b)", {"w": "p(5, c)", "b": "p(5)"}),
    "matmul": ("torch.matmul(x.mean((2, 3)), m.w)", {"w": "p(c, 5)"}),
    "group norm": ("F.group_norm(x, 2, m.w, m.b)", {"w": "p(c)", "b": "p(c)"}),
    "batch norm": (
        "F.batch_norm(x, m.mean, m.var, m.w, m.b)",
        {"mean": "torch.linspace(-1, 1, c)", "var": "torch.ones(c)", "w": "p(c)", "b": "p(c)"},
    ),
    "standardized": ("F.conv2d(x, m.w - m.w.mean((1, 2, 3), keepdim=True), padding=1)", {"w": "p(4, c, 3, 3)"}),
    "einsum": ("torch.einsum('nchw,dc->ndhw', x, m.w)", {"w": "p(5, c)"}),
}
SHARED: Forms = {
    "conv in a chain": ("m.f(m.f(x).sigmoid())", {"f": "nn.Conv2d(c, c, 3, padding=1)"}),
    "conv on two values": ("m.f(x) + m.f(x.flip(3) * 0.5)", {"f": "nn.Conv2d(c, 5, 3, padding=1)"}),
    "norm on two values": (
        "m.n(m.a(x)) + m.n(m.b(x)).sigmoid()",
        {"n": "nn.BatchNorm2d(6)", "a": "nn.Conv2d(c, 6, 3, padding=1)", "b": "nn.Conv2d(c, 6, 1)"},
    ),
    "activation": (
        "m.f(m.a(x)) * m.f(m.b(x))",
        {"f": "nn.PReLU(4)", "a": "nn.Conv2d(c, 4, 1)", "b": "nn.Conv2d(c, 4, 1)"},
    ),
    "linear": ("m.f(x.mean((2, 3))) - m.f(x.amax((2, 3))).tanh()", {"f": "nn.Linear(c, 6)"}),
    "parameter": ("(x * m.s).tanh() * m.s", {"s": "p(c, 1, 1)"}),
    "tied to a function": ("F.conv2d(m.f(x).tanh(), m.f.weight.transpose(0, 1))", {"f": "nn.Conv2d(c, 6, 1)"}),
}
UNUSED: Forms = {
    "never called": ("x * 1.5", {"idle": "nn.Conv2d(c, 4, 3)"}),
    "called for nothing": ("(m.idle(x), x + 0.5)[1]", {"idle": "nn.Conv2d(c, 4, 1)"}),
    "parameter": ("x.sigmoid()", {"idle": "p(c, 3)"}),
    "one of two chunks": ("m.f(x).chunk(2, 1)[0]", {"f": "nn.Conv2d(c, 8, 3, padding=1)"}),
}
MANY_READERS: Forms = {
    "three": ("((t := m.f(x)), t.relu() + t.sigmoid() * t - F.softplus(t))[1]", {"f": "nn.Conv2d(c, 6, 3, padding=1)"}),
    "branches": (
        "((t := m.f(x).sigmoid()), torch.cat([t, m.a(t), m.b(t)], 1))[1]",
        {"f": "nn.Conv2d(c, 5, 1)", "a": "nn.Conv2d(5, 4, 3, padding=1)", "b": "nn.Conv2d(5, 3, 1)"},
    ),
    "pooled and plain": ("((t := m.f(x)), t * t.mean((2, 3), True) + t.amax(1, True))[1]", {"f": "nn.Conv2d(c, 6, 1)"}),
    "dense": (
        "((t := torch.cat([x, m.a(F.silu(m.n(x)))], 1)), torch.cat([t, m.b(F.silu(m.o(t)))], 1))[1]",
        {
            "n": "nn.BatchNorm2d(c)",
            "a": "nn.Conv2d(c, 3, 3, padding=1)",
            "o": "nn.BatchNorm2d(c + 3)",
            "b": "nn.Conv2d(c + 3, 2, 1)",
        },
    ),
}
BRANCH = {
    "a": "nn.Conv2d(c, 6, 3, padding=1, bias=False)",
    "n": "nn.BatchNorm2d(6)",
    "b": "nn.Conv2d(6, c, 3, padding=1)",
    "o": "nn.BatchNorm2d(c)",
}
RESIDUAL: Forms = {
    "plain": ("F.relu(x + m.o(m.b(m.n(m.a(x)).relu())))", BRANCH),
    "smooth": ("x + m.o(m.b(F.silu(m.n(m.a(x)))))", BRANCH),
    "dead norm": ("x + m.dead_o(m.b(torch.sigmoid(m.n(m.a(x)))))", {**BRANCH, "dead_o": BRANCH["o"]}),
    "dead conv": ("F.softplus(m.dead_b(F.silu(m.n(m.a(x)))) + x)", {**BRANCH, "dead_b": BRANCH["b"]}),
    "dead filter": ("m.o(m.dead_b(F.relu(m.n(m.a(x))))) + x", {**BRANCH, "dead_b": BRANCH["b"]}),
    "before activation": ("x + m.b(F.softplus(m.n(m.a(m.o(x).sigmoid()))))", BRANCH),
    "projection": ("(m.p(x) + m.n(m.a(x))).sigmoid()", {"p": "nn.Conv2d(c, 6, 1)", "a": BRANCH["a"], "n": BRANCH["n"]}),
    "onto a later value joined first": (
        "((s := m.a(x)), (t := F.relu(torch.cat([m.dead_e(F.silu(s)), s], 1))), t + m.k(t))[2]",
        {"a": BRANCH["a"], "dead_e": "nn.Conv2d(6, 6, 3, padding=1)", "k": "nn.Conv2d(12, 12, 3, padding=1)"},
    ),
}

# ---- heads ---------------------------------------------------------------------------------------------------------

HEADS: Forms = {
    "mean": ("m.f(x.mean((2, 3)))", {"f": "nn.Linear(c, 5)"}),
    "pool": (
        "m.b(F.relu(m.a(torch.flatten(m.pool(x), 1))))",
        {"pool": "nn.AdaptiveAvgPool2d(1)", "a": "nn.Linear(c, 7)", "b": "nn.Linear(7, 4)"},
    ),
    "view": ("m.f(F.adaptive_avg_pool2d(x, 1).view(x.size(0), -1))", {"f": "nn.Linear(c, 5)"}),
    "mean (N, C, L)": ("m.f(x.mean(2))", {"f": "nn.Linear(c, 5)"}),
    "row": ("m.b(m.a(x).tanh())", {"a": "nn.Linear(c, 6)", "b": "nn.Linear(6, 3)"}),
}
FLATTEN_HEADS: Forms = {
    "flatten": ("m.f(torch.flatten(x, 1))", {"f": "nn.Linear(size, 5)"}),
    "layer": ("m.f(m.g(x))", {"g": "nn.Flatten()", "f": "nn.Linear(size, 5)"}),
    "reshape": (
        "m.b(m.n(m.f(x.reshape(-1, size))).sigmoid())",
        {"f": "nn.Linear(size, 6)", "n": "nn.BatchNorm1d(6)", "b": "nn.Linear(6, 4)"},
    ),
}
PAIR_HEADS: Forms = {
    "two linear": (
        "(m.f(x.flatten(2).mean(2)), m.g(y.flatten(2).mean(2)))",
        {"f": "nn.Linear(c, 4)", "g": "nn.Linear(cy, 3)"},
    ),
    "value and logits": ("(y, m.f(x.flatten(2).mean(2)))", {"f": "nn.Linear(c, 4)"}),
    "list": ("[x, y]", {}),
}
