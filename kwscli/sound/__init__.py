"""Any sound file -> a clip -> features, and what is done to clips before they are learned: numpy only."""
