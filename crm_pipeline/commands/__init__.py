"""What each ``crm`` command does; parsing is in ``crm_pipeline/cli.py``."""
