"""The report for managers: one self-contained HTML page made from the published file alone.

``pages/`` holds what is asked and drawn, ``texts/`` every word that a reader sees, ``shell/`` the
HTML, its styles and its script; ``build.py`` puts them together. Nothing here knows Dagster.
"""
