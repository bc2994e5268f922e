"""Commands beside a model: whatever is asked, the log, the states and the documents agree."""

from hypothesis import HealthCheck, Phase, settings

from registry_machine import Registry

TestRegistry = Registry.TestCase
TestRegistry.settings = settings(
    max_examples=40,
    stateful_step_count=12,
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink],
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
