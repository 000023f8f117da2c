"""One script a claim: each prints what it measures, with its control in the same run."""
