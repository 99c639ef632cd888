"""Settings of a training as files: our presets, job.json and run.json, and those of kohya_ss and OneTrainer."""
