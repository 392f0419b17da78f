"""How rows move at scale: Spark jobs over the lake."""
