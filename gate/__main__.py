"""Runs the command line where a script is asked for: `python -m gate`, or spark-submit, which takes a file."""

from __future__ import annotations

from gate.cli.main import main

main()
