"""Ladders: models of growing size trained under several backends, with the same seeds and the same data."""

from laimbench.ladder.config import Ladder, load_ladder
from laimbench.ladder.job import Job
from laimbench.ladder.launcher import launch_local
from laimbench.ladder.plan import RunPlan, plan_ladder
from laimbench.ladder.sweep import sweep

__all__ = ["Job", "Ladder", "RunPlan", "launch_local", "load_ladder", "plan_ladder", "sweep"]
