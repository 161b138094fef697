"""Brain-optimised encoding models of the visual cortex, after St-Yves et al. 2023."""

import importlib

__version__ = "0.2.0"

_PUBLIC = {
    "fit": "gnet.fitting.models",
    "load_model": "gnet.evaluation.trained",
    "Architecture": "gnet.models.gnet",
    "Procedure": "gnet.fitting.stepper",
    "Trials": "gnet.fitting.batches",
    "Voxels": "gnet.models.checkpoints",
}
"""What `import gnet` offers, and where it is: imported when first asked for, because torch takes seconds."""


def __getattr__(name: str) -> object:
    if name in _PUBLIC:
        return getattr(importlib.import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module 'gnet' has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*globals(), *_PUBLIC]
