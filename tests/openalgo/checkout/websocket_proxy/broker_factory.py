"""The register of adapters; most are found by name."""

BROKER_ADAPTERS = {}


def register_adapter(broker_name, adapter_class):
    BROKER_ADAPTERS[broker_name.lower()] = adapter_class
