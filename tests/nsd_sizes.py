"""What makes the configuration of the real release, `conf/nsd`, as small as the tiny one."""

SIZES = {
    "release": {"sessions": {"subj01": 3, "subj02": 2}},
    "images": {"pixels": 51},
    "prefilter": {"source": "gabor"},
    "model": {"trunk_width": 4},
    "fitting": {"epochs": 1, "batch_size": 25},
    "scoring": {"resamples": 2},
}


def merge(values: dict, changes: dict) -> dict:
    """The changes in the place of what they change; lists and sessions are replaced whole."""
    merged = dict(values)
    for name, change in changes.items():
        nested = isinstance(change, dict) and isinstance(values.get(name), dict) and name != "sessions"
        merged[name] = merge(values[name], change) if nested else change
    return merged
