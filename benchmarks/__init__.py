"""What watching costs and how fast relief comes, each beside an alternative measured in the same run."""
