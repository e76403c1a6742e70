"""Video data operators, engine and warehouse.

This package knows video and never imports Dagster. `dj_assets` is the other
half: it knows Dagster and never touches a frame. Start reading at `clip.py`
(the row), `operator.py` (what can be done to it) and `recipe.py` (in which
order).
"""

__version__ = "0.1.0"
