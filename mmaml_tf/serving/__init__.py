"""SavedModels: signatures whose arguments are checked in the graph."""
