"""What pyproject.toml cannot say: hub/core/_hot.pyx is told what it is compiled from.

An installation without a compiler is as good, at about a third more CPU; scripts/lib/hot.sh does
the same in a clone.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from setuptools import Extension, setup

SOURCE = "hub/core/_hot.pyx"
digest = hashlib.sha256((Path(__file__).parent / SOURCE).read_bytes())

setup(
    ext_modules=[
        Extension(
            "hub.core._hot",
            [SOURCE],
            define_macros=[("HOT_SOURCE", f'"{digest.hexdigest()}"')],
            extra_compile_args=["-O2", "-g0"],
            extra_link_args=["-s"],
            optional=True,
        )
    ]
)
