"""What a training leaves behind: model.json, the run directory and its checkpoints."""
