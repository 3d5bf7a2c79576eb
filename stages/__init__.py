"""One thin script a stage: read inputs, call the library, publish the artifact."""
