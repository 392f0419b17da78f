"""Who is risky or trusted: features in, registered model out, scores table out; one folder per model."""
