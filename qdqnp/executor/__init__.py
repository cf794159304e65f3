"""Runs programs: a Plan binds every step to a profile; `walk` folds over the steps."""
