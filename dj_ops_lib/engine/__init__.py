"""Runs stages over shards: plans waves, measures in worker processes, decides, writes tables.

Start reading at `shard.py`. Not here: how video is decoded (`media/`), what is
measured (`operators/`), how tables are written (`warehouse/`).
"""
