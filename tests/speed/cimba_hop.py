"""The last hop in Cimba (compiled, one event per thing): a gateway writes every message to its subscribers, each copy arrives a delay later."""

import time

import cimba as cb
from cimba import inputs


class LastHop(cb.Model):
    subscribers: cb.Param[int] = 100
    gap: cb.Input[float] = inputs.dist.exponential(mean=0.001)
    count: int = 0
    delivered: cb.Output[float]

    @cb.process
    def gateway(self):
        while True:
            cb.hold(self.gap.next())
            for _ in range(self.subscribers):
                cb.hold(0.000001)
                cb.schedule(self.arrive, 0.02)

    @cb.event
    def arrive(self):
        self.count += 1

    @cb.on_end
    def measure(self):
        self.delivered = float(self.count)


def cost(duration_s: float = 30.0) -> float:
    """Nanoseconds per delivery; the first run compiles."""
    model = LastHop()
    experiment = cb.Experiment(model, replications=1, window=cb.Window(warmup=0, duration=duration_s), seed=1)
    experiment.run()
    began = time.perf_counter()
    results = experiment.run()
    wall = time.perf_counter() - began
    return 1e9 * wall / float(results[model].delivered.values.sum())
