"""A long run of the real daemon among real parts that leak, churn and fail at random, and its judge."""
