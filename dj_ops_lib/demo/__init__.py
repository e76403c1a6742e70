"""A small synthetic corpus with known truth: three datasets in their official layouts.

`generate(root)` writes it: sixty-odd short videos of coloured shapes, with one
of everything that a cleaning platform must catch, and `truth.json` with the
right answer for every clip. `python -m dj_ops_lib.demo DIR` does the same.
"""

from __future__ import annotations

from dj_ops_lib.demo.generate import generate

__all__ = ["generate"]
