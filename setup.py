"""The compiled part, which is optional: without a compiler the package installs and runs without it."""

import sys

from setuptools import Extension, setup

# Without fast-math, which would let a NaN pass. OpenMP is not linked: the library uses the one of torch.
FLAGS = ["-O3", "-fno-math-errno", "-fno-trapping-math", *(["-fopenmp"] if sys.platform == "linux" else [])]

setup(
    ext_modules=[
        Extension(
            "gnet.models._nonlinearity",
            ["src/gnet/models/_nonlinearity.c"],
            extra_compile_args=FLAGS,
            optional=True,
        )
    ]
)
