"""Readers of datasets' official annotation files: one module for each dataset.

Beside them: `reader.py` (what a reader is, and how it is found), `formats/`
(finding the entries of JSONL, CSV and JSON files by byte range), `config.py`
(where a source's files are), `manifest.py` and `ingest.py` (the first two
tables of a source), `write_back.py` (rows into official files again). Nothing
here opens a video.
"""
