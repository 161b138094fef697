"""Objects of arrays as the tests compare them."""

from dataclasses import fields

import numpy as np


def arrays(stored) -> dict[str, np.ndarray]:
    """The fields of an object that are not None, read into memory."""
    found = {field.name: getattr(stored, field.name) for field in fields(stored)}
    return {name: np.asarray(value) for name, value in found.items() if value is not None}


def weights(model) -> dict[str, np.ndarray]:
    """The weights of a fitted model by name."""
    return {name: tensor.numpy() for name, tensor in model.network.state_dict().items()}
