"""Brain-optimised encoding models of the visual cortex, after St-Yves et al. 2023."""

__version__ = "0.1.0"


def __getattr__(name: str) -> object:
    """`load_model`, whose torch takes seconds to import, when it is asked for."""
    if name == "load_model":
        import importlib

        return importlib.import_module("gnet.evaluation.trained").load_model
    raise AttributeError(f"module 'gnet' has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*globals(), "load_model"]
