"""What the trainings of both demo models share."""
