"""The tables of an evaluation: functions of predictions, not of a study, so that any cohort can be scored.

Every function takes predictions (or one model's :class:`~relevox.statistics.evaluation.answers.Answers`) and
returns the rows of one table; what the columns mean stands beside their names.
"""
