"""The trainer of every stage: Muon and AdamW, a moving average, a schedule by elapsed time, saving
and resuming.

A step needs nothing from the host, so that on a GPU it can be captured in a CUDA graph and
replayed: models this small would otherwise wait for Python.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import nn
from torch.nn import Parameter

from tools.train_demo.common.optim import Average, Muon, adam_state, load_adam
from tools.train_demo.common.store import Clock, Store, Tensors

LOG_EVERY = 250

Losses = dict[str, torch.Tensor]  # their sum is minimised; each is logged
# The losses of a new batch, from the fraction of the budget that is spent, a scalar.
Loss = Callable[[torch.Tensor], Losses]


@dataclass(frozen=True)
class Plan:
    """How a stage trains. Learning rates rise over `warm_up` steps and fall as a cosine over
    `budget` seconds.

    Attributes:
        rate_factors: factors of the learning rate, by the prefix of parameters' names.
    """

    budget: float
    rate: float
    warm_up: int
    ema: float
    save_every: float
    betas: tuple[float, float] = (0.9, 0.98)
    rate_factors: Mapping[str, float] | None = None
    captured: bool = False


class Trainer:
    """Trains parameters by one or several types of steps.

    Args:
        name: of the stage; its state is saved as `name`, `name`_ema and `name`_optimizer.
        parameters: all of which get gradients in every type of step.
        losses: for each type of step.
        for_muon: names of the parameters that Muon trains; AdamW trains the others.
        working: copies of the parameters in another type, in the same order, with which the losses
            are computed.
    """

    def __init__(
        self,
        name: str,
        parameters: Mapping[str, Parameter],
        losses: Mapping[str, Loss],
        plan: Plan,
        device: torch.device,
        for_muon: Sequence[str] = (),
        working: Sequence[Parameter] | None = None,
    ) -> None:
        self.name, self.plan, self.losses, self.device = name, plan, losses, device
        self.names, self.parameters = list(parameters), list(parameters.values())
        self.working = list(working) if working is not None else None
        self.average = Average(self.parameters)
        self.muon = Muon([parameters[n] for n in for_muon])
        rate_factors = {"": 1.0} | dict(plan.rate_factors or {})
        groups: dict[str, list[Parameter]] = {prefix: [] for prefix in rate_factors}
        for key in [name for name in self.names if name not in set(for_muon)]:
            groups[max((p for p in rate_factors if key.startswith(p)), key=len)].append(
                parameters[key]
            )
        self.rate_factors = list(rate_factors.values())
        self.adam = torch.optim.AdamW(
            [
                {"params": group, "lr": torch.tensor(0.0, device=device)}
                for group in groups.values()
            ],
            betas=plan.betas,
            weight_decay=0.01,
            fused=True,
            capturable=device.type == "cuda",
        )
        self.rate, self.average_weight, self.progress = (
            torch.tensor(0.0, device=device) for _ in range(3)
        )
        self.sums: dict[str, torch.Tensor] = {}  # of each loss: total and count

    def step(self, step_type: str) -> None:
        """One optimiser step of a type. All its inputs are on the device."""
        working = self.working or self.parameters
        for parameter in working:
            parameter.grad = None
        if self.working is not None:
            with torch.no_grad():
                torch._foreach_copy_(self.working, self.parameters)
        losses = self.losses[step_type](self.progress)
        torch.stack(list(losses.values())).sum().backward()
        if self.working is not None:
            for parameter, copy in zip(self.parameters, self.working, strict=True):
                parameter.grad = None if copy.grad is None else copy.grad.to(parameter.dtype)
        nn.utils.clip_grad_norm_(self.parameters, 1.0, foreach=True)
        self.muon.step(self.rate)
        self.adam.step()
        self.average.update(self.average_weight)
        for key, loss in losses.items():
            if key not in self.sums:
                self.sums[key] = torch.zeros(2, device=self.device)
            self.sums[key] += torch.stack([loss.detach(), torch.ones_like(loss)])

    def schedule(self, step: int, progress: float) -> None:
        """Fill in what changes from step to step."""
        plan = self.plan
        cosine = 0.5 * (1 + math.cos(math.pi * progress))
        self._set_rate(plan.rate * min((step + 1) / plan.warm_up, 1.0) * max(cosine, 0.005))
        self.progress.fill_(progress)
        self.average_weight.fill_(1 - min(plan.ema, (1 + step) / (10 + step)))

    def _set_rate(self, rate: float) -> None:
        self.rate.fill_(rate)
        for group, factor in zip(self.adam.param_groups, self.rate_factors, strict=True):
            group["lr"].fill_(rate * factor)

    def train(
        self,
        store: Store,
        deadline: float,
        step_type_of: Callable[[int], str],
        budget: float | None = None,
        probes: Sequence[int] = (),
        probe: Callable[[int], None] = lambda step: None,
    ) -> bool:
        """Train, or resume; True when the budget is spent, False when the deadline came first.

        Args:
            step_type_of: returns the type of a step from its number.
            budget: seconds in all, what preparing takes among them, instead of the plan's, to which
                that is added.
            probe: called after the steps in `probes`; its time counts.
        """
        step, spent = self.load(store)
        if spent >= (budget or self.plan.budget):
            return True
        torch.manual_seed(1000 + step)
        begin = time.monotonic()
        steps = self.prepare(store)
        prepared = time.monotonic() - begin
        budget = self.plan.budget if budget is None else budget - prepared
        store.log(self.name, begins_at=step, prepared=prepared, budget=budget)
        clock = Clock(budget, spent, deadline)
        saved_at = logged_at = time.monotonic()
        while not clock.done and not clock.out_of_time:
            self.schedule(step, clock.progress)
            steps[step_type_of(step)]()
            step += 1
            if step % LOG_EVERY == 0:
                self._log(store, step, clock.spent, LOG_EVERY / (time.monotonic() - logged_at))
                logged_at = time.monotonic()
            if step in probes:
                probe(step)
            if time.monotonic() - saved_at > self.plan.save_every:
                self.save(store, step, clock.spent)
                saved_at = time.monotonic()
        self._log(store, step, clock.spent)
        self.save(store, step, clock.spent)
        return clock.done

    def spent(self, store: Store) -> float:
        """Seconds that earlier runs have trained."""
        saved = store.load(self.name)
        return 0.0 if saved is None else saved[1]["spent"]

    def averaged(self) -> Tensors:
        """The averaged parameters by name."""
        return dict(zip(self.names, self.average.values, strict=True))

    def settle(self) -> None:
        """Replace the parameters by their averages."""
        with torch.no_grad():
            torch._foreach_copy_(self.parameters, self.average.values)

    def save(self, store: Store, step: int, spent: float) -> None:
        facts = {"step": step, "spent": spent}
        store.save(self.name, dict(zip(self.names, self.parameters, strict=True)), **facts)
        store.save(f"{self.name}_ema", self.averaged(), **facts)
        store.save(f"{self.name}_optimizer", self.muon.state() | adam_state(self.adam), **facts)

    def load(self, store: Store) -> tuple[int, float]:
        """Resume from the last save, if there is one: (step, seconds spent). Optimisers may start
        anew.
        """
        saved = store.load(self.name)
        if saved is None:
            return 0, 0.0
        tensors, facts = saved
        averages, _ = store.load(f"{self.name}_ema") or saved
        with torch.no_grad():
            for name, parameter, mean in zip(
                self.names, self.parameters, self.average.values, strict=True
            ):
                parameter.copy_(tensors[name])
                mean.copy_(averages[name])
        optimizers = store.load(f"{self.name}_optimizer")
        if optimizers is not None and optimizers[1]["step"] == facts["step"]:
            self.muon.load(optimizers[0])
            load_adam(self.adam, optimizers[0])
        return facts["step"], facts["spent"]

    def prepare(self, store: Store) -> dict[str, Callable[[], object]]:
        """Each type of step, compiled and captured if the plan says so. Parameters and averages do
        not change.
        """
        self._set_rate(0.0)
        self.average_weight.zero_()
        steps: dict[str, Callable[[], object]] = {
            step_type: partial(self.step, step_type) for step_type in self.losses
        }
        if self.plan.captured and self.device.type == "cuda":
            steps = {
                step_type: capture(step, self.name, store) for step_type, step in steps.items()
            }
        else:
            for step in steps.values():
                step()
        for total in self.sums.values():
            total.zero_()
        return steps

    def _log(self, store: Store, step: int, spent: float, rate: float | None = None) -> None:
        means = {key: (total[0] / total[1].clamp(min=1)).item() for key, total in self.sums.items()}
        pace = {} if rate is None else {"steps_per_second": rate}
        store.log(self.name, step=step, spent=spent, **means, **pace)
        for total in self.sums.values():
            total.zero_()


def capture(step: Callable[[], object], name: str, store: Store) -> Callable[[], object]:
    """The step as one replay of a CUDA graph, or the step itself where it cannot be captured."""
    begin = time.monotonic()
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            step()
    torch.cuda.current_stream().wait_stream(side)
    torch.cuda.synchronize()
    compiled = time.monotonic() - begin
    graph = torch.cuda.CUDAGraph()
    try:
        with torch.cuda.graph(graph):
            step()
    except RuntimeError as error:
        store.log(name, capture_failed=str(error)[:500], compiled=compiled)
        torch.cuda.synchronize()
        return step
    store.log(name, captured=time.monotonic() - begin, compiled=compiled)
    return graph.replay
