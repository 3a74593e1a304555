"""The verbs of a study: each file has ``run(study, settings, workers)`` and meets the others through the folder."""
