#!/usr/bin/env python3
"""Writes optimizers.json: ten steps of each optimizer and fifty of each schedule, computed by PyTorch in f64. The tests
`optimizers_golden.rs` and `schedules.rs` hold isograd to it.

Run it beside simplecnn.py with PyTorch and NumPy installed: `python optimizers.py`. Weights and data are the formula
of simplecnn.py. Optimizers that PyTorch lacks, or defines otherwise, are written out here after their papers.
"""

import json
import pathlib
import re

import simplecnn
import torch

# Name in isograd, dimensions, and the power of two that the values of the tensor are divided by.
PARAMETERS = [
    ("conv2d1.weight", (3, 2, 2, 2), 2),
    ("conv2d1.bias", (3,), 4),
    ("dense1.weight", (6, 27), 4),
    ("dense1.bias", (6,), 4),
    ("dense2.weight", (9, 6), 2),
    ("dense2.bias", (9,), 4),
    ("dense3.weight", (4, 9), 2),
    ("dense3.bias", (4,), 4),
]
PIXELS, LABELS = len(PARAMETERS), len(PARAMETERS) + 1
SAMPLES = 16
SEED = 7
STEPS = 10

BASE_RATE = 0.1
STEPS_PER_EPOCH = 10
SCHEDULE_STEPS = 50


def parameters():
    tensors = [simplecnn.values(stream, dims, SEED) / divisor for stream, (_, dims, divisor) in enumerate(PARAMETERS)]
    return [tensor.requires_grad_() for tensor in tensors]


def loss(p):
    functional = torch.nn.functional
    x, labels = simplecnn.values(PIXELS, (SAMPLES, 2, 4, 4), SEED), torch.from_numpy(simplecnn.words(LABELS, SAMPLES, SEED) % 4)
    x = functional.conv2d(x, p[0], p[1]).tanh().flatten(1)
    x = functional.linear(x, p[2], p[3]).tanh()
    x = functional.linear(x, p[4], p[5]).tanh()
    return functional.cross_entropy(functional.linear(x, p[6], p[7]), labels)


class Written(torch.optim.Optimizer):
    """An optimizer that is a function of a parameter, its gradient, its state and the step."""

    def __init__(self, params, update):
        super().__init__(params, {})
        self.update = update
        self.steps = 0

    @torch.no_grad()
    def step(self):
        self.steps += 1
        for group in self.param_groups:
            for p in group["params"]:
                self.update(p, p.grad, self.state[p], self.steps)


def mean(state, name, value, beta):
    """The running mean `name` of `value`."""
    state[name] = beta * state.get(name, torch.zeros_like(value)) + (1 - beta) * value
    return state[name]


def nadam(lr, beta1=0.9, beta2=0.999, eps=1e-7):
    """Dozat 2016 with a constant beta1. PyTorch's NAdam has a schedule for it."""

    def update(p, g, state, t):
        m, v = mean(state, "m", g, beta1), mean(state, "v", g * g, beta2)
        n = beta1 * m / (1 - beta1 ** (t + 1)) + (1 - beta1) * g / (1 - beta1**t)
        p -= lr * n / ((v / (1 - beta2**t)).sqrt() + eps)

    return update


def lars(lr, every, momentum=0.9, weight_decay=5e-4, trust=0.02):
    """You, Gitman, Ginsburg 2017, algorithm 1. Tensors with one dimension are spared unless `every` is true."""

    def update(p, g, state, _):
        beta, ratio = 0, 1
        if every or p.ndim > 1:
            beta = weight_decay
            ratio = trust * p.norm() / (g.norm() + beta * p.norm())
        state["v"] = momentum * state.get("v", 0) + lr * ratio * (g + beta * p)
        p -= state["v"]

    return update


def lamb(lr, every, beta1=0.9, beta2=0.999, eps=1e-6, weight_decay=0.01):
    """You et al. 2020, algorithm 2. Tensors with one dimension are spared unless `every` is true."""

    def update(p, g, state, t):
        m, v = mean(state, "m", g, beta1), mean(state, "v", g * g, beta2)
        r = m / (1 - beta1**t) / ((v / (1 - beta2**t)).sqrt() + eps)
        ratio = 1
        if every or p.ndim > 1:
            r = r + weight_decay * p
            ratio = p.norm() / r.norm()
        p -= lr * ratio * r

    return update


def orthogonal(g):
    """Newton and Schulz's iteration of Jordan et al. 2024, in f64."""
    a, b, c = 3.4445, -4.7750, 2.0315
    x = g / (g.norm() + 1e-7)
    if g.shape[0] > g.shape[1]:
        x = x.T
    for _ in range(5):
        s = x @ x.T
        x = a * x + (b * s + c * s @ s) @ x
    return x.T if g.shape[0] > g.shape[1] else x


def muon(lr, nesterov=True, weight_decay=0.0, momentum=0.95, adam_lr=0.015, betas=(0.9, 0.95), eps=1e-10):
    """Jordan et al. 2024: tensors with two or more dimensions as matrices, AdamW for the others."""

    def update(p, g, state, t):
        if p.ndim == 1:
            m, v = mean(state, "m", g, betas[0]), mean(state, "v", g * g, betas[1])
            p -= lr * adam_lr * m / (1 - betas[0] ** t) / ((v / (1 - betas[1] ** t)).sqrt() + eps)
            return
        v = mean(state, "v", g, momentum)
        x = momentum * v + (1 - momentum) * g if nesterov else v
        x = x.reshape(p.shape[0], -1)
        p -= lr * weight_decay * p
        p -= lr * max(1, x.shape[0] / x.shape[1]) ** 0.5 * orthogonal(x).reshape(p.shape)

    return update


def adamw(p):
    """PyTorch's AdamW with a group without decay, as is usual."""
    weights, others = [t for t in p if t.ndim > 1], [t for t in p if t.ndim == 1]
    return torch.optim.AdamW([{"params": weights}, {"params": others, "weight_decay": 0.0}], lr=0.001)


OPTIMIZERS = {
    "sgd": lambda p: torch.optim.SGD(p, lr=0.01, momentum=0.9),
    "sgd_without_momentum": lambda p: torch.optim.SGD(p, lr=0.01),
    "sgd_nesterov": lambda p: torch.optim.SGD(p, lr=0.01, momentum=0.9, nesterov=True),
    "rmsprop": lambda p: torch.optim.RMSprop(p, lr=0.001, alpha=0.9, eps=1e-7),
    "adam": lambda p: torch.optim.Adam(p, lr=0.001, eps=1e-7),
    "nadam": lambda p: Written(p, nadam(0.001)),
    "adamw": adamw,
    "adamw_all": lambda p: torch.optim.AdamW(p, lr=0.001),
    "lars": lambda p: Written(p, lars(0.02, False)),
    "lars_all": lambda p: Written(p, lars(0.02, True)),
    "lamb": lambda p: Written(p, lamb(0.002, False)),
    "lamb_all": lambda p: Written(p, lamb(0.002, True)),
    "muon": lambda p: Written(p, muon(0.02)),
    "muon_decay": lambda p: Written(p, muon(0.02, nesterov=False, weight_decay=0.1)),
}


def lists(tensors):
    return {name: t.detach().flatten().tolist() for (name, _, _), t in zip(PARAMETERS, tensors)}


def train(make_optimizer, after_step=lambda: None, p=None):
    """Losses before each step and after the last, and the parameters after the last."""
    p = p or parameters()
    optimizer, losses = make_optimizer(p), []
    for _ in range(STEPS):
        value = loss(p)
        losses.append(value.item())
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        after_step()
    return {"losses": losses + [loss(p).item()], "parameters": lists(p)}


def averages():
    """PyTorch's averages of the parameters of AdamW, and their loss."""
    p = parameters()
    model = torch.nn.ParameterList(p)
    decay = 0.8
    average = torch.optim.swa_utils.AveragedModel(model, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(decay))
    train(adamw, lambda: average.update_parameters(model), list(model))
    averaged = list(average.module)
    return {"decay": decay, "loss": loss(averaged).item(), "parameters": lists(averaged)}


def step_decay(o):
    return torch.optim.lr_scheduler.StepLR(o, 20, 0.5)


def warm_up(o):
    return torch.optim.lr_scheduler.LinearLR(o, start_factor=0.25, total_iters=15)


def chained(o):
    scheduler = torch.optim.lr_scheduler
    first = scheduler.StepLR(o, 5, 0.7)
    last = scheduler.CosineAnnealingLR(o, 35, 0.02)
    return scheduler.SequentialLR(o, [first, last], [15])


# Each with the number of steps after which PyTorch's scheduler steps.
SCHEDULES = {
    "constant": (1, lambda o: torch.optim.lr_scheduler.ConstantLR(o, 1.0)),
    "warm_up": (1, warm_up),
    "warm_up_of_step_decay": (1, lambda o: torch.optim.lr_scheduler.ChainedScheduler([warm_up(o), step_decay(o)])),
    "step_decay": (1, step_decay),
    "multi_step": (1, lambda o: torch.optim.lr_scheduler.MultiStepLR(o, [10, 15, 40], 0.3)),
    "exponential": (STEPS_PER_EPOCH, lambda o: torch.optim.lr_scheduler.ExponentialLR(o, 0.8)),
    "exponential_by_step": (1, lambda o: torch.optim.lr_scheduler.ExponentialLR(o, 0.97)),
    "polynomial": (1, lambda o: torch.optim.lr_scheduler.PolynomialLR(o, SCHEDULE_STEPS, 2.0)),
    "line": (1, lambda o: torch.optim.lr_scheduler.PolynomialLR(o, 30, 1.0)),
    "cosine": (1, lambda o: torch.optim.lr_scheduler.CosineAnnealingLR(o, SCHEDULE_STEPS, 0.01)),
    "one_cycle": (1, lambda o: torch.optim.lr_scheduler.OneCycleLR(o, BASE_RATE, total_steps=SCHEDULE_STEPS)),
    "one_cycle_other": (
        1,
        lambda o: torch.optim.lr_scheduler.OneCycleLR(
            o, BASE_RATE, total_steps=SCHEDULE_STEPS, pct_start=0.5, div_factor=10, final_div_factor=100
        ),
    ),
    "chained": (1, chained),
}


def rates(every, make_schedule):
    """The learning rate of each step."""
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=BASE_RATE)
    schedule, rates = make_schedule(optimizer), []
    for step in range(1, SCHEDULE_STEPS + 1):
        rates.append(float(optimizer.param_groups[0]["lr"]))
        optimizer.step()
        if step % every == 0 and step < SCHEDULE_STEPS:
            schedule.step()
    return rates


def main():
    torch.use_deterministic_algorithms(True)
    torch.set_num_threads(1)
    golden = {
        "torch": torch.__version__,
        "optimizers": {name: train(make) for name, make in OPTIMIZERS.items()},
        "averages": averages(),
        "schedules": {name: rates(*schedule) for name, schedule in SCHEDULES.items()},
    }
    # A line for each list of numbers.
    text = re.sub(r"\n\s+(?=[-\d]|\][,\n])", " ", json.dumps(golden, indent=1))
    pathlib.Path(__file__).with_suffix(".json").write_text(text + "\n")


if __name__ == "__main__":
    main()
