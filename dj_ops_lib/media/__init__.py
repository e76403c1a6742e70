"""Reading and writing video files: everything that touches a stranger's bytes.

Here: finding and opening files under the configured roots, header facts, frame
plans in one pass, sound, edits and rendering. Not here: what is computed from
the pictures (operators), and when and in which process (engine).
"""
